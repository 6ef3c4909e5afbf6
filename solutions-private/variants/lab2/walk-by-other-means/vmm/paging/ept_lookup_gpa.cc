// SPDX-License-Identifier: MIT
#include <atomic>

#include "kern/mm/frame_allocator.hh"
#include "vmm/frame_owners.hh"
#include "vmm/paging/walk.hh"

namespace vmm {
namespace {

/// Makes the table that `entry` is to point to, unless somebody else is faster. What the entry
/// holds then.
std::expected<std::uint64_t, Error> make_table(const EntryFormat& format,
                                               std::atomic_ref<std::uint64_t> entry,
                                               std::uint64_t absent) {
    const auto made = kern::frames().allocate(frame_owner::second_level_table);
    if (!made) return std::unexpected(made.error());
    const std::uint64_t link = format.table(*made);
    while (!entry.compare_exchange_weak(absent, link)) {
        if (!format.decode(absent, root_level).present) continue;
        kern::frames().free(frame_owner::second_level_table, *made);
        return absent;
    }
    return link;
}

std::expected<WalkResult, Error> walk_below(const EntryFormat& format, Hpa table, Level level,
                                            Gpa gpa, Level target, MissingTable missing) {
    auto* const entry =
        reinterpret_cast<std::uint64_t*>(kern::arch::direct_map(table)) +
        (gpa.value() >> (kern::page_shift + std::uint64_t{index_bits} * (level - 1))) %
            entries_per_table;
    const std::atomic_ref shared{*entry};
    std::uint64_t value = shared.load();
    DecodedEntry decoded = format.decode(value, level);
    if (level == target || (decoded.present && decoded.leaf))
        return WalkResult{entry, level, value};
    if (!decoded.present) {
        if (missing != MissingTable::Make) return WalkResult{entry, level, value};
        const auto link = make_table(format, shared, value);
        if (!link) return std::unexpected(link.error());
        decoded = format.decode(value = *link, level);
        if (decoded.leaf) return WalkResult{entry, level, value};
    }
    return walk_below(format, decoded.address, level - 1, gpa, target, missing);
}

}  // namespace

std::expected<WalkResult, Error> ept_lookup_gpa(const EntryFormat& format, Hpa root, Gpa gpa,
                                                Level target, MissingTable missing) {
    if (target == 0 || target > root_level) return std::unexpected(Error::InvalidArgument);
    if (gpa >= Gpa{guest_physical_end}) return std::unexpected(Error::OutOfRange);
    return walk_below(format, root, root_level, gpa, target, missing);
}

}  // namespace vmm
