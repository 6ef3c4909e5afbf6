// SPDX-License-Identifier: MIT
#include "vmm/exits/msr_permissions.hh"

#include <algorithm>

namespace vmm {

std::expected<void, Error> msr_permissions(const MsrMapFormat& format, std::span<std::byte> map,
                                           std::uint32_t msr, MsrExits exits) {
    const auto range =
        std::find_if(format.ranges.begin(), format.ranges.end(), [msr](const MsrRange& one) {
            return msr >= one.first && msr - one.first <= msrs_per_range - 1;
        });
    if (range == format.ranges.end()) return std::unexpected(Error::OutOfRange);

    const std::size_t distance = (msr - range->first) * format.step;
    struct {
        std::size_t bit;
        bool value;
    } const wanted[]{{range->write_bit + distance, exits.write},
                     {range->read_bit + distance, exits.read}};
    for (const auto& [bit, value] : wanted) {
        const auto old = std::to_integer<unsigned>(map[bit >> 3]);
        const unsigned cleared = old & ~(1U << (bit & 7));
        map[bit >> 3] = std::byte(cleared | (value ? 1U : 0U) << (bit & 7));
    }
    return {};
}

}  // namespace vmm
