// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <expected>
#include <optional>

#include "vmm/address.hh"
#include "vmm/guest_memory.hh"

namespace vmm {

/// What an instruction of the guest does at an address.
struct GuestAccess {
    bool write = false;  ///< it writes there (or reads and writes)
    bool fetch = false;  ///< it is fetched from there
    bool user = false;   ///< at CPL 3
    /// RFLAGS.AC: with CR4.SMAP, CPL 0 to 2 read and write pages of CPL 3 only if it is set.
    bool alignment_check = false;
};

/// Why a walk came to no address.
struct WalkFault {
    /// What is wrong.
    enum class Kind : std::uint8_t {
        PageFault,     ///< the guest gets a page fault with `error_code`
        NotCanonical,  ///< no linear address of this paging mode: in long mode not canonical,
                       ///< otherwise 4 GiB or beyond
        NotInMemory,   ///< the table at `table` is not in the guest's memory, or not yet
        Unsupported,   ///< 5 levels
        Busy,          ///< another vCPU changes the tables all the time: let the guest try again
    };
    Kind kind;                     ///< what is wrong
    std::uint32_t error_code = 0;  ///< of a page fault [amd/vol2 8.4.2]
    Gpa table{};                   ///< of NotInMemory: an entry that could not be read
};

/// Entries of a guest's page tables, of either size [amd/vol2 5.3, 5.4].
namespace guest_entry {
///@{
/// The bit of this name.
inline constexpr std::uint64_t present = 1U << 0;
inline constexpr std::uint64_t write = 1U << 1;
inline constexpr std::uint64_t user = 1U << 2;
inline constexpr std::uint64_t accessed = 1U << 5;
inline constexpr std::uint64_t dirty = 1U << 6;
inline constexpr std::uint64_t large = 1U << 7;  // PS, above level 1
inline constexpr std::uint64_t no_execute = 1ULL << 63;
///@}
/// Address bits that no guest has, see guest_physical_end.
inline constexpr std::uint64_t beyond_memory = 0x000f'ffff'ffff'f000 & ~(guest_physical_end - 1);
}  // namespace guest_entry

/// What the entry of `size` bytes, 4 or 8, at `place` holds: read at once, since another vCPU may write
/// it at the same moment.
std::uint64_t load_guest_entry(Hpa place, unsigned size);

/// How often a walk begins anew, at most, since an entry was changed meanwhile.
inline constexpr unsigned walk_attempts = 16;

/// Translates a guest's linear address by the guest's own page tables (task lab4.walk_guest).
///
/// The paging mode follows from `paging`, as on the CPU [amd/vol2 5.1]:
///
/// | CR0.PG | EFER.LMA | CR4.PAE | levels | entries | large pages (PS) |
/// |---|---|---|---|---|---|
/// | 0 | | | none: the address is guest-physical | | |
/// | 1 | 0 | 0 | 2, 10 bits each | 4 bytes | 4 MiB in level 2, if CR4.PSE |
/// | 1 | 0 | 1 | 3: 2 bits, then 9 each | 8 bytes | 2 MiB in level 2 |
/// | 1 | 1 | | 4, 9 bits each | 8 bytes | 2 MiB in level 2, 1 GiB in level 3 |
///
/// The root is at CR3, of which the lowest 12 bits (with three levels 5) and the bits from 52 on do
/// not count. In a 4 MiB entry bits 20 to 13 are the page's address bits 39 to 32. An entry is read
/// by load_guest_entry.
///
/// **With `access`** the walk is the CPU's:
/// - An entry that is not present is a page fault.
/// - So is one with a reserved bit: `no_execute` while EFER.NXE is 0; any of `beyond_memory`, PS in
///   level 4, in an entry of 8 bytes; and of a large page of 8 bytes the address bits 13 up to its
///   size.
/// - With three levels, an entry of level 3 is only a pointer: it has no rights, no PS and no
///   accessed bit, and its reserved bits are not looked at.
/// - Rights: a page may be written, or used at CPL 3, only if the entries of all levels say so; it
///   may be executed only if none says `no_execute`. With CR0.WP = 0, CPL 0 to 2 write all pages.
///   With CR4.SMEP they fetch from no page of CPL 3, and with CR4.SMAP they read and write none,
///   unless `alignment_check`.
/// - If all is allowed, `accessed` is set in each entry that was used and is without it, and
///   `dirty` in the last one at a write: by one compare-and-swap an entry, against the value that
///   was read. If that fails, the walk begins anew, at most `walk_attempts` times in all; then Busy.
///   A walk that ends with a fault sets no dirty bit.
/// - The error code of a page fault: bit 0 if all entries were present, bit 1 for a write, bit 2 at
///   CPL 3, bit 3 for a reserved bit (then bit 0 too), bit 4 for a fetch, if EFER.NXE (with
///   four or three levels) or CR4.SMEP.
///
/// **Without `access`** the walk only looks, for reports: it asks for no rights, looks at no
/// reserved bit, and changes nothing. An entry that is not present is a page fault with error code
/// 0 there.
///
/// Several vCPUs may walk at once.
///
/// @param memory  where the tables are, by GuestMemory::gpa2hpa; nothing is made present
/// @param paging  the guest's control registers
/// @param gva     any
/// @param access  what for; nothing: just to look
/// @param walk    if not null, gets what was read, by Walk::add, from the root on; whatever it held
///                before is forgotten
/// @return the guest-physical address; whether there is memory was not asked
/// @note Source: [amd/vol2 5.1 to 5.6].
std::expected<Gpa, WalkFault> walk_guest(const GuestMemory& memory,
                                         const GuestMemory::GuestPaging& paging, Gva gva,
                                         std::optional<GuestAccess> access,
                                         GuestMemory::Walk* walk = nullptr);

}  // namespace vmm
