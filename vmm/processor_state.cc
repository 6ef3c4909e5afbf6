// SPDX-License-Identifier: MIT
#include "vmm/processor_state.hh"

#include <cstring>

#include "kern/arch/arch.hh"
#include "kern/mm/frame_allocator.hh"
#include "vmm/frame_owners.hh"

namespace vmm {
namespace {

constexpr std::uint32_t cpuid_osxsave = 1U << 27;  // leaf 1, ECX: the host has set CR4.OSXSAVE
constexpr std::uint32_t xsave_leaf = 0xd;

/// What FXSAVE and XSAVE write first [amd/vol2 11.4.4]; all else is zero after a reset.
constexpr std::size_t control_word_at = 0;
constexpr std::uint16_t control_word = 0x37f;
constexpr std::size_t mxcsr_at = 24;
constexpr std::uint32_t mxcsr = 0x1f80;

}  // namespace

std::expected<ProcessorState, kern::Error> ProcessorState::create() {
    std::uint64_t components = 0;
    std::uint64_t size = 512;
    if ((kern::arch::cpuid(1).ecx & cpuid_osxsave) != 0) {
        const auto leaf = kern::arch::cpuid(xsave_leaf);
        components = std::uint64_t{leaf.edx} << 32 | leaf.eax;
        size = leaf.ecx;
    }
    const std::uint64_t count = kern::align_up(size, kern::page_size) / kern::page_size;
    const auto area = kern::frames().allocate_run(frame_owner::vcpu, count);
    if (!area) return std::unexpected{area.error()};
    std::byte* const bytes = kern::arch::direct_map(*area);
    std::memcpy(bytes + control_word_at, &control_word, sizeof(control_word));
    std::memcpy(bytes + mxcsr_at, &mxcsr, sizeof(mxcsr));
    return ProcessorState{*area, count, components};
}

ProcessorState::ProcessorState(ProcessorState&& other) noexcept
    : area_{other.area_},
      frame_count_{other.frame_count_},
      components_{other.components_},
      xcr0_{other.xcr0_},
      host_xcr0_{other.host_xcr0_},
      breakpoints_{other.breakpoints_} {
    other.frame_count_ = 0;
}

ProcessorState::~ProcessorState() {
    if (frame_count_ != 0) kern::frames().free_run(frame_owner::vcpu, area_, frame_count_);
}

void ProcessorState::load() {
    const std::byte* const area = kern::arch::direct_map(area_);
    if (components_ != 0) {
        host_xcr0_ = kern::arch::read_xcr0();
        // The guest may have turned on and off what it liked: all components move.
        kern::arch::write_xcr0(components_);
    }
    kern::arch::load_fpu(area, components_);
    if (components_ != 0) kern::arch::write_xcr0(xcr0_);
    kern::arch::write_breakpoints(breakpoints_);
    loaded_ = true;
}

void ProcessorState::save() {
    breakpoints_ = kern::arch::read_breakpoints();
    kern::arch::write_breakpoints({});
    loaded_ = false;
    if (components_ != 0) {
        xcr0_ = kern::arch::read_xcr0();
        kern::arch::write_xcr0(components_);
    }
    kern::arch::save_fpu(kern::arch::direct_map(area_), components_);
    if (components_ != 0) kern::arch::write_xcr0(host_xcr0_);
}

void ProcessorState::reset_breakpoints() {
    breakpoints_ = {};
    if (loaded_) kern::arch::write_breakpoints(breakpoints_);
}

}  // namespace vmm
