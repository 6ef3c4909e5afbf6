// SPDX-License-Identifier: MIT
#include "vmm/svm/permission_map.hh"

#include "vmm/x86.hh"

#include <algorithm>
#include <array>
#include <optional>

#include "vmm/x86.hh"

namespace vmm::svm {
namespace {

struct MsrRange {
    std::uint32_t first;
    std::size_t offset;  ///< in the map, in bytes
};
constexpr std::array<MsrRange, 3> ranges{
    {{0x0000'0000, 0x000}, {0xc000'0000, 0x800}, {0xc001'0000, 0x1000}}};
constexpr std::uint32_t range_length = 0x2000;

/// The MSRs of VMLOAD and VMSAVE [amd/vol2 15.5.2]: each world has its own, so the guest can touch
/// them without our help.
constexpr std::array<std::uint32_t, 10> switched{
    msr::sysenter_cs, msr::sysenter_esp, msr::sysenter_eip, msr::star,    msr::lstar,
    msr::cstar,       msr::sfmask,       msr::fs_base,      msr::gs_base, msr::kernel_gs_base,
};

struct Place {
    std::size_t byte;
    unsigned read_bit;  // the write bit is the next one
};

std::optional<Place> place_of(std::uint32_t msr) {
    for (const MsrRange& range : ranges) {
        const std::uint32_t index = msr - range.first;
        if (index < range_length) return Place{range.offset + index / 4, 2 * (index % 4)};
    }
    return std::nullopt;
}

}  // namespace

void fill_io_map(std::span<std::byte, io_map_size> map) {
    std::ranges::fill(map, std::byte{0xff});
}

void fill_msr_map(std::span<std::byte, msr_map_size> map) {
    std::ranges::fill(map, std::byte{0xff});
    for (const std::uint32_t msr : switched) {
        const Place place = *place_of(msr);
        map[place.byte] &= ~(std::byte{0b11} << place.read_bit);
    }
}

bool is_intercepted(std::span<const std::byte, msr_map_size> map, std::uint32_t msr, bool write) {
    const auto place = place_of(msr);
    if (!place) return true;
    return (map[place->byte] & (std::byte{1} << (place->read_bit + (write ? 1 : 0)))) !=
           std::byte{};
}

}  // namespace vmm::svm
