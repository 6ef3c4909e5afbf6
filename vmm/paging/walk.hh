// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <expected>

#include "vmm/address.hh"
#include "vmm/paging/entry_format.hh"

namespace vmm {

/// Where a walk ended.
struct WalkResult {
    std::uint64_t* entry;  ///< in the direct map; touch it through std::atomic_ref only
    Level level;           ///< of the table in which the entry stands
    std::uint64_t value;   ///< what the entry held when the walk read it
};

/// What a walk does where the table of the next lower level is missing.
enum class MissingTable { Stop, Make };

/// Bytes of guest-physical memory that one entry of a table of `level` covers.
constexpr std::uint64_t bytes_per_entry(Level level) {
    constexpr unsigned index_bits = 9;
    // NOLINTNEXTLINE(clang-analyzer-core.BitwiseShift): no level is below 1
    return page_size << (index_bits * (level - 1));
}

/// Entries per table.
inline constexpr std::uint64_t entries_per_table = page_size / sizeof(std::uint64_t);

/// Walks down from the root towards `gpa`.
///
/// @param target  the level of the entry wanted, 1 to root_level
/// @return the entry of `gpa` in the table of level `target`; or sooner, at a higher level, an
/// entry
///         that is a leaf or, with MissingTable::Stop, one that is not present
/// @note Error: OutOfMemory, only with MissingTable::Make. Tables made until then stay.
/// @note Locks: none. A table is made privately and put in its place by one compare-and-swap: of
/// two
///       CPUs that make the same one, the second frees its own and goes on with the first one's.
std::expected<WalkResult, Error> walk(const EntryFormat& format, Hpa root, Gpa gpa, Level target,
                                      MissingTable missing);

}  // namespace vmm
