// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <span>

#include "kern/lib/fixed.hh"
#include "vmm/address.hh"

namespace vmm::soft {

/// An entry of the guest's note section: an instruction that ring 3 executes without a trap, and
/// that does not do there what it does in ring 0.
struct SiteNote {
    /// Which one.
    enum class Kind : std::uint32_t {
        Pushf = 1,           ///< one byte: 9c
        Popf = 2,            ///< one byte: 9d
        MovFromSegment = 3,  ///< two bytes: 8c, and a ModRM byte of two registers (c0 to ef)
    };
    std::uint32_t address;  ///< linear
    Kind kind;              ///< which one; an image may hold any number
};
static_assert(sizeof(SiteNote) == 8);

/// A site that was rewritten.
struct Site {
    std::uint32_t address = 0;         ///< linear
    std::uint8_t length = 0;           ///< of the instruction that was there, in bytes
    std::array<std::byte, 2> bytes{};  ///< what was there; if `length` is 1, the second one is 0
    /// All of them are equal.
    bool operator==(const Site&) const = default;
};

/// What was rewritten, in any order.
using Sites = kern::FixedList<Site, 64>;

///@{
/// What traps in ring 3, in one byte: HLT and INT3.
inline constexpr std::byte trap_by_hlt{0xf4};
inline constexpr std::byte trap_by_int3{0xcc};
///@}

/// Makes the sites of a guest's note section trap (task lab6.rewrite_sensitive).
///
/// POPF has one byte, so what comes in its place has one byte too: HLT, which ring 3 may not
/// execute, or INT3, which is a breakpoint for the host. The first byte of each site becomes one of
/// the two, as you like; a second byte stays as it is. A trap of the guest's own HLT or INT3 is
/// told from these by its address: `sites` says where they are and what was there.
///
/// The note is the guest's, and may say anything. All of it is looked at before the first byte
/// changes: on an error neither `text` nor `sites` has changed.
///
/// @param text     the guest's text, in memory
/// @param address  the linear address of its first byte
/// @param notes    the sites
/// @param sites    gets an entry for each of them; what is there already are sites of the same
///                 guest, from an earlier call
/// @note Errors: OutOfRange (a byte of a site is not in the text, which may reach up to 4 GiB),
/// Overlap (two sites share a byte, or one with a site that is in `sites`: so nothing is rewritten
/// twice), BadFormat (the bytes are not those of the kind, or there is no such kind), OutOfMemory
/// (`sites` cannot take them all). Of several, any one.
std::expected<void, kern::Error> rewrite_sensitive(std::span<std::byte> text, std::uint32_t address,
                                                   std::span<const SiteNote> notes, Sites& sites);

}  // namespace vmm::soft
