// SPDX-License-Identifier: MIT
#include <array>
#include <optional>

#include "kern/mm/ptab.hh"

namespace kern {

std::expected<void, Error> Ptab::insert_mapping(Uva virt, Hpa phys, Attributes attr) {
    const std::uint64_t address = virt.value();
    const bool removes = !has(attr, Attributes::present);
    if (address % page_size != 0 || (!removes && phys.value() % page_size != 0))
        return std::unexpected(Error::Unaligned);
    if (virt >= user_end || (!removes && (phys.value() & address_mask) != phys.value()))
        return std::unexpected(Error::OutOfRange);

    const std::array<std::size_t, levels> index{address >> 39 & 511, address >> 30 & 511,
                                                address >> 21 & 511, address >> 12 & 511};
    // As far down as there are tables.
    unsigned depth = 0;
    std::uint64_t* entry = &table_at(root_)[index[0]];
    while (depth < levels - 1 && has(Attributes{*entry}, Attributes::present))
        entry = &table_at(Hpa{*entry & address_mask})[index[++depth]];

    std::uint64_t value = phys.value() | std::to_underlying(attr);
    if (removes) {
        if (depth == levels - 1) *entry = 0;
        return {};
    }
    std::array<std::optional<Frame>, levels> made{};
    for (unsigned level = depth + 1; level < levels; ++level) {
        auto frame = Frame::allocate(frame_owner::page_table);
        if (!frame) return std::unexpected(frame.error());
        made[level].emplace(std::move(*frame));
    }
    for (unsigned level = levels - 1; level > depth; --level) {
        const Hpa table = made[level]->release();
        table_at(table)[index[level]] = value;
        value = table.value() |
                std::to_underlying(Attributes::present | Attributes::write | Attributes::user);
    }
    *entry = value;
    return {};
}

}  // namespace kern
