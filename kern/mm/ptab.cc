// SPDX-License-Identifier: MIT
#include "kern/mm/ptab.hh"

#include "kern/arch/arch.hh"
#include "kern/arch/user.hh"

namespace kern {

std::expected<Ptab, Error> Ptab::create() {
    const auto root = frames().allocate(frame_owner::page_table);
    if (!root) return std::unexpected{root.error()};
    arch::share_kernel_half(arch::direct_map(*root));
    return Ptab{*root};
}

Ptab::~Ptab() {
    if (root_ != Hpa{}) free_tables(root_, levels, entries / 2);
}

Ptab::Table Ptab::table_at(Hpa table) {
    return Table{reinterpret_cast<std::uint64_t*>(arch::direct_map(table)), entries};
}

/// Frees the table at `table` with those that its first `count` entries point to.
// NOLINTNEXTLINE(misc-no-recursion): as deep as there are levels
void Ptab::free_tables(Hpa table, unsigned level, std::size_t count) {
    if (level > 1) {
        for (const std::uint64_t entry : table_at(table).first(count))
            if (has(Attributes{entry}, Attributes::present))
                free_tables(Hpa{entry & address_mask}, level - 1, entries);
    }
    frames().free(frame_owner::page_table, table);
}

}  // namespace kern
