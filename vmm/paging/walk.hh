// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstdint>
#include <expected>
#include <span>

#include "kern/arch/arch.hh"
#include "vmm/address.hh"
#include "vmm/paging/entry_format.hh"

/// The walk through a second-level table, and the two tasks of lab 2 that are made of it. Their
/// names say EPT, as those of the lab that they come from do; they serve NPT as well: how an entry
/// is written is the business of an EntryFormat.
namespace vmm {

/// Where a walk ended.
struct WalkResult {
    std::uint64_t* entry;  ///< in the direct map; touch it by load_entry and install_entry only
    Level level;           ///< of the table in which the entry stands
    std::uint64_t value;   ///< what the entry held when the walk read it
};

/// What a walk does where the table of the next lower level is missing.
enum class MissingTable {
    Stop,  ///< it ends there
    Make   ///< it makes the table
};

/// Bits of a guest-physical address that choose an entry in one table.
inline constexpr unsigned index_bits = 9;
/// Entries per table.
inline constexpr std::uint64_t entries_per_table = page_size / sizeof(std::uint64_t);
static_assert(entries_per_table == 1ULL << index_bits);

/// Bytes of guest-physical memory that one entry of a table of `level` covers.
constexpr std::uint64_t bytes_per_entry(Level level) {
    // NOLINTNEXTLINE(clang-analyzer-core.BitwiseShift): no level is below 1
    return page_size << (index_bits * (level - 1));
}

/// Which entry of a table of `level` a walk towards `gpa` takes, 0 to 511. The original calls it
/// ADDR_TO_IDX(pa, n), and counts n from 0, the page entries; our levels count from 1.
///
/// ```
///   47       39 38       30 29       21 20       12 11            0
///  +-----------+-----------+-----------+-----------+---------------+
///  |  index in |  index in |  index in |  index in |  byte in the  |
///  |  level 4  |  level 3  |  level 2  |  level 1  |  4 KiB page   |
///  +-----------+-----------+-----------+-----------+---------------+
///       root ------> table -----> table -----> table -----> page
/// ```
constexpr std::uint64_t table_index(Gpa gpa, Level level) {
    return gpa.value() / bytes_per_entry(level) % entries_per_table;
}

/// The entries of the table at `table`, through the direct map.
inline std::span<std::uint64_t, entries_per_table> entries_of(Hpa table) {
    return std::span<std::uint64_t, entries_per_table>{
        reinterpret_cast<std::uint64_t*>(kern::arch::direct_map(table)), entries_per_table};
}

/// What an entry holds now. Whoever sees a table or a page in it also sees what that was filled
/// with before it was installed.
inline std::uint64_t load_entry(std::uint64_t& entry) {
    return std::atomic_ref{entry}.load(std::memory_order_acquire);
}

/// Puts `value` into the entry if it still holds `expected`, in one atomic step against other CPUs
/// and against the hardware, which sets accessed and dirty bits. Returns whether it did; if not,
/// `expected` is what the entry holds instead.
inline bool install_entry(std::uint64_t& entry, std::uint64_t& expected, std::uint64_t value) {
    return std::atomic_ref{entry}.compare_exchange_strong(
        expected, value, std::memory_order_acq_rel, std::memory_order_acquire);
}

/// Walks down from the root towards `gpa` (task lab2.ept_lookup_gpa).
///
/// @param format   how the entries are written
/// @param root     the root table, of level root_level
/// @param gpa      need not be the first byte of a page
/// @param target   the level of the entry wanted, 1 to root_level
/// @param missing  what to do where a table on the way to `target` is missing. One that is made is
///                 a frame of zeros on the account frame_owner::second_level_table
/// @return the entry of `gpa` in the table of level `target`, whatever it holds; or sooner, at a
///         higher level, an entry that is a leaf or, with MissingTable::Stop, one that is not
///         present
/// @note Errors: OutOfRange (`gpa` is guest_physical_end or beyond), InvalidArgument (there is no
/// such level as `target`); if both hold, either. Nothing has changed then. OutOfMemory, only with
/// MissingTable::Make: tables made until then stay in the tree, for the next attempt.
/// @note Locks: none. Several CPUs may walk one tree at once: a table is made privately and put in
/// its place by one compare-and-swap. Of two CPUs that make the same one, the second gives its own
/// frame back and goes on with the first one's. An entry that is present is never changed.
std::expected<WalkResult, Error> ept_lookup_gpa(const EntryFormat& format, Hpa root, Gpa gpa,
                                                Level target, MissingTable missing);

/// Maps the 4 KiB page at `gpa` to the frame that this kernel sees at `hva` (task
/// lab2.ept_map_hva2gpa). Tables that are missing on the way are made.
///
/// @param format      how the entries are written
/// @param root        the root table, of level root_level
/// @param hva         the frame's first byte, in the direct map of physical memory
/// @param gpa         the page's first byte
/// @param permission  what the guest may do with the page
/// @param overwrite   whether a small page that is mapped there already is replaced. Then its old
///                    frame is in no table any more: whoever asked for it gives that frame back,
///                    after a shoot-down
/// @note Errors: Unaligned (`hva` or `gpa`), OutOfRange (`gpa` is guest_physical_end or beyond),
/// InvalidArgument (a permission without read); if several hold, any of them. AlreadyExists (a page
/// is mapped there and `overwrite` is false, perhaps by another CPU just now; or it lies in a large
/// page, which is never replaced), OutOfMemory (for a table; those made until then stay). After an
/// error no page has changed, and after the first three no table was made either.
/// @note Locks: none. The entry changes in one atomic step: every CPU sees what was there before or
/// the whole new entry, and of two CPUs that map one page without `overwrite` exactly one succeeds.
std::expected<void, Error> ept_map_hva2gpa(const EntryFormat& format, Hpa root, kern::Hva hva,
                                           Gpa gpa, Permission permission, bool overwrite);

}  // namespace vmm
