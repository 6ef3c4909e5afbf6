// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string_view>

#include "vmm/address.hh"

namespace vmm {

/// What a guest may do with a page. A permission without read cannot be mapped: AMD has no such
/// entry, and on Intel a page that can be written but not read is a misconfiguration.
struct Permission {
    ///@{
    /// Whether it may.
    bool read = false;
    bool write = false;
    bool execute = false;
    ///@}
    /// All three alike.
    constexpr bool operator==(const Permission&) const = default;
};
///@{
/// The permissions that are used here.
inline constexpr Permission read_write_execute{.read = true, .write = true, .execute = true};
inline constexpr Permission read_execute{.read = true, .write = false, .execute = true};
inline constexpr Permission read_only{.read = true, .write = false, .execute = false};
///@}

/// The level of a table in the walk: 4 is the root; a leaf stands in level 1 (4 KiB) or 2 (2 MiB).
using Level = unsigned;
/// The root's level.
inline constexpr Level root_level = 4;

/// An entry of a second-level table, taken apart.
struct DecodedEntry {
    bool present = false;  ///< there is something to go on to
    bool leaf = false;     ///< maps a page; otherwise it points to a table of the next lower level
    Hpa address{};         ///< of the page or the table
    Permission permission{};  ///< of this entry alone
};

/// How a vendor writes the entries of its second-level tables; the walk is the same for all.
/// An entry of value 0 is not present in every format.
struct EntryFormat {
    std::string_view name;  ///< the vendor's, for reports
    /// The entry for a page at `page` in a table of `level` (1 or 2).
    std::uint64_t (*leaf)(Hpa page, Permission permission, Level level);
    /// `entry`, a leaf, with another permission; everything else in it, the accessed and dirty bits
    /// too, stays as it is.
    std::uint64_t (*with_permission)(std::uint64_t entry, Permission permission);
    /// The entry that points to the table at `table`.
    std::uint64_t (*table)(Hpa table);
    /// What the entry in a table of `level` says. Where it is not present, the rest means nothing.
    DecodedEntry (*decode)(std::uint64_t entry, Level level);
};

/// AMD nested paging: the entries of ordinary long-mode page tables [amd/vol2 15.25].
extern const EntryFormat npt_format;
/// Intel extended page tables [intel/vol3c 29.3].
extern const EntryFormat ept_format;

}  // namespace vmm
