// SPDX-License-Identifier: MIT
#pragma once

#include <expected>

#include "kern/cap/objects.hh"

namespace kern::cap {

/// Why an address leads to no slot.
struct LookupFailure {
    /// What is wrong.
    enum class Kind : std::uint8_t {
        Missing,        ///< here should be a CNode, and the slot is empty
        WrongObject,    ///< here should be a CNode, and it is something else
        GuardMismatch,  ///< the next bits are not the guard, or fewer than it has
        DepthMismatch,  ///< fewer bits are left than the CNode's index has
        NoSlot,         ///< the index is 0, where a CNode has its head
    };
    Kind kind;           ///< what is wrong
    unsigned level;      ///< how many CNodes were passed before: 0 is `root` itself
    unsigned bits_left;  ///< how many bits of the address were left at that level
    /// All of them are equal.
    bool operator==(const LookupFailure&) const = default;
};

/// Finds the slot at an address (task lab8.cap_lookup).
///
/// An address is its lowest `depth` bits, and is read from the highest of them on. `root` is level
/// 0. At each level:
///
/// 1. The capability has to be a CNode: else Missing, if it is Type::Null, or WrongObject.
/// 2. The next Capability::guard_bits bits have to be the guard, Capability::value. If fewer are
///    left, or they are others: GuardMismatch. A guard of no bits always fits.
/// 3. The next Capability::size_bits bits are the index. If fewer are left: DepthMismatch. If the
///    index is 0: NoSlot.
/// 4. If no bits are left now, this is the slot, whatever it holds: it may be empty. Otherwise the
///    capability in it is the next level.
///
/// A failure tells the level at which it was found, and how many bits were left before that level's
/// guard. Rights play no part. Nothing is changed. The time depends on the levels alone.
///
/// @param root     where the address begins
/// @param address  bits from `depth` on mean nothing
/// @param depth    0 to 64; with 0 no bits are left at level 0
std::expected<Slot*, LookupFailure> cap_lookup(const Capability& root, std::uint64_t address,
                                               unsigned depth);

}  // namespace kern::cap
