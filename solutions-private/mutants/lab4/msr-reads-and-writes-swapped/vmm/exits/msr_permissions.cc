// SPDX-License-Identifier: MIT
#include "vmm/exits/msr_permissions.hh"

namespace vmm {
namespace {

void set_bit(std::span<std::byte> map, std::size_t bit, bool value) {
    const std::byte mask = std::byte{1} << (bit % 8);
    if (value)
        map[bit / 8] |= mask;
    else
        map[bit / 8] &= ~mask;
}

}  // namespace

std::expected<void, Error> msr_permissions(const MsrMapFormat& format, std::span<std::byte> map,
                                           std::uint32_t msr, MsrExits exits) {
    for (const MsrRange& range : format.ranges) {
        const std::uint32_t index = msr - range.first;  // of one below it: a huge one
        if (index >= msrs_per_range) continue;
        set_bit(map, range.read_bit + index * format.step, exits.write);
        set_bit(map, range.write_bit + index * format.step, exits.read);
        return {};
    }
    return std::unexpected{Error::OutOfRange};
}

}  // namespace vmm
