// SPDX-License-Identifier: MIT
#include "vmm/vmx/permission_map.hh"

#include <algorithm>
#include <optional>

namespace vmm::vmx {
namespace {

struct MsrRange {
    std::uint32_t first;
    std::size_t offset;  ///< in the map, in bytes, of the bits for reads
};
constexpr std::array<MsrRange, 2> ranges{{{0x0000'0000, 0x000}, {0xc000'0000, 0x400}}};
constexpr std::uint32_t range_length = 0x2000;
constexpr std::size_t writes_offset = 0x800;  ///< from the bits for reads

/// The MSRs that have a field in the guest's state, and another in the host's.
constexpr std::array<std::uint32_t, 5> in_vmcs{
    msr::sysenter_cs, msr::sysenter_esp, msr::sysenter_eip, msr::fs_base, msr::gs_base,
};

struct Place {
    std::size_t byte;
    unsigned bit;
};

std::optional<Place> place_of(std::uint32_t msr) {
    for (const MsrRange& range : ranges) {
        const std::uint32_t index = msr - range.first;
        if (index < range_length) return Place{range.offset + index / 8, index % 8};
    }
    return std::nullopt;
}

void allow(std::span<std::byte, msr_map_size> map, std::uint32_t msr) {
    const Place place = *place_of(msr);
    const std::byte bit = std::byte{1} << place.bit;
    map[place.byte] &= ~bit;
    map[place.byte + writes_offset] &= ~bit;
}

}  // namespace

void fill_io_map(std::span<std::byte, io_map_size> map) {
    std::ranges::fill(map, std::byte{0xff});
}

void fill_msr_map(std::span<std::byte, msr_map_size> map) {
    std::ranges::fill(map, std::byte{0xff});
    for (const std::uint32_t msr : in_vmcs) allow(map, msr);
    for (const std::uint32_t msr : host_switched_msrs) allow(map, msr);
}

bool is_intercepted(std::span<const std::byte, msr_map_size> map, std::uint32_t msr, bool write) {
    const auto place = place_of(msr);
    if (!place) return true;
    const std::byte bits = map[place->byte + (write ? writes_offset : 0)];
    return (bits & (std::byte{1} << place->bit)) != std::byte{};
}

}  // namespace vmm::vmx
