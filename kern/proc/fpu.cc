// SPDX-License-Identifier: MIT
#include "kern/proc/fpu.hh"

#include <cstring>

#include "kern/arch/arch.hh"
#include "kern/arch/fpu.hh"

namespace kern {
namespace {

// What FXSAVE and XSAVE write first [amd/vol2 11.4.4]; all else is zero at the start.
constexpr std::size_t control_word_at = 0;
constexpr std::uint16_t control_word = 0x37f;  // exceptions masked, 64 bits of precision
constexpr std::size_t mxcsr_at = 24;
constexpr std::uint32_t mxcsr = 0x1f80;  // exceptions masked

}  // namespace

std::expected<FpuState, Error> FpuState::create(FrameOwner owner) {
    const std::uint64_t count = align_up(arch::fpu_state_size(), page_size) / page_size;
    const auto area = frames().allocate_run(owner, count);
    if (!area) return std::unexpected{area.error()};
    std::byte* const bytes = arch::direct_map(*area);
    std::memcpy(bytes + control_word_at, &control_word, sizeof(control_word));
    std::memcpy(bytes + mxcsr_at, &mxcsr, sizeof(mxcsr));
    return FpuState{owner, *area, count};
}

FpuState::~FpuState() {
    if (frame_count_ != 0) frames().free_run(owner_, area_, frame_count_);
}

void FpuState::save() {
    arch::save_fpu(arch::direct_map(area_));
}
void FpuState::load() const {
    arch::load_fpu(arch::direct_map(area_));
}

}  // namespace kern
