// SPDX-License-Identifier: MIT
#include "kern/mm/ptab.hh"

namespace kern {
namespace {

constexpr std::uint64_t table_bits =
    std::to_underlying(Attributes::present | Attributes::write | Attributes::user);

std::expected<void, Error> put(Hpa table, unsigned shift, std::uint64_t virt,
                               std::uint64_t wanted) {
    std::uint64_t& entry = Ptab::table_at(table)[(virt >> shift) % Ptab::entries];
    if (shift == page_shift) {
        entry = wanted;
        return {};
    }
    if (entry == 0) {
        if (wanted == 0) return {};
        const auto made = frames().allocate(frame_owner::page_table);
        if (!made) return std::unexpected(Error::OutOfMemory);
        entry = made->value() | table_bits;
    }
    return put(Hpa{entry & Ptab::address_mask}, shift - 9, virt, wanted);
}

}  // namespace

std::expected<void, Error> Ptab::insert_mapping(Uva virt, Hpa phys, Attributes attr) {
    const bool there = has(attr, Attributes::present);
    if (virt.value() >= user_end.value()) return std::unexpected(Error::OutOfRange);
    if (there && phys.value() >> 52 != 0) return std::unexpected(Error::OutOfRange);
    if (virt.page_offset() != 0) return std::unexpected(Error::Unaligned);
    if (there && phys.page_offset() != 0) return std::unexpected(Error::Unaligned);
    return put(root_, 39, virt.value(), there ? phys.value() | std::to_underlying(attr) : 0);
}

}  // namespace kern
