// SPDX-License-Identifier: MIT
#include "vmm/svm/permission_map.hh"

#include <algorithm>
#include <array>
#include <optional>

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
    0x174,        // SYSENTER_CS
    0x175,        // SYSENTER_ESP
    0x176,        // SYSENTER_EIP
    0xc000'0081,  // STAR
    0xc000'0082,  // LSTAR
    0xc000'0083,  // CSTAR
    0xc000'0084,  // SFMASK
    0xc000'0100,  // FS.base
    0xc000'0101,  // GS.base
    0xc000'0102,  // KernelGSBase
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
