// SPDX-License-Identifier: MIT
#include <atomic>

#include "kern/mm/ptab.hh"

namespace kern {
namespace {

constexpr unsigned index_bits = 9;
static_assert(1U << index_bits == Ptab::entries);

/// Where `virt` has its entry in a table of `level`; the last level is 0.
constexpr std::size_t index_of(Uva virt, unsigned level) {
    return virt.value() >> (page_shift + std::uint64_t{index_bits} * level) & (Ptab::entries - 1);
}

std::uint64_t make_entry(Hpa address, Attributes attributes) {
    return address.value() | std::to_underlying(attributes);
}

}  // namespace

std::expected<void, Error> Ptab::insert_mapping(Uva virt, Hpa phys, Attributes attr) {
    const bool removes = !has(attr, Attributes::present);
    if (virt >= user_end) return std::unexpected(Error::OutOfRange);
    if (!virt.is_aligned()) return std::unexpected(Error::Unaligned);

    // The processor may be walking the same tables: every entry is written whole, at once.
    Hpa table = root_;
    for (unsigned level = levels - 1; level > 0; --level) {
        const std::atomic_ref entry{table_at(table)[index_of(virt, level)]};
        if (!has(Attributes{entry.load()}, Attributes::present)) {
            if (removes) return {};
            const auto made = frames().allocate(frame_owner::page_table);
            if (!made) return std::unexpected(made.error());
            entry.store(
                make_entry(*made, Attributes::present | Attributes::write | Attributes::user));
        }
        table = Hpa{entry.load() & address_mask};
    }
    if (!removes && phys.value() > address_mask) return std::unexpected(Error::OutOfRange);
    if (!removes && !phys.is_aligned()) return std::unexpected(Error::Unaligned);
    std::atomic_ref{table_at(table)[index_of(virt, 0)]}.store(removes ? 0 : make_entry(phys, attr));
    return {};
}

}  // namespace kern
