// SPDX-License-Identifier: MIT
#pragma once

#include "kern/cap/capability.hh"

namespace kern::cap {

/// The derivation tree. Every capability that was derived from another stands below it; those that
/// the kernel made at boot have no parent. What was made of an Untyped's memory stands below that
/// Untyped. All of these take a bounded time, however many capabilities there are.

/// Puts `capability` into the empty `slot`, as the first child of `parent`.
void put_below(Slot& parent, Slot& slot, const Capability& capability);
/// Empties `slot`. Its children take its place, in their order: they are then its parent's.
void take_out(Slot& slot);
/// Moves a capability, with its place in the tree and in page tables, to the empty `to`.
void move(Slot& from, Slot& to);
/// Whether anything is derived from it.
inline bool has_children(const Slot& slot) {
    return slot.first_child != nullptr;
}
/// The parent; nullptr if there is none. For tests: the time grows with the siblings.
const Slot* parent_of(const Slot& slot);

/// Whether both name one object. Never of types that are no object: Untyped, Frame, IoPorts, and
/// IrqControl.
bool same_object(const Capability& a, const Capability& b);
/// Whether `slot` holds the last capability to an object. All capabilities to one object are
/// neighbours in the tree, so nobody counts them: to be asked before it is taken out.
bool is_last(const Slot& slot);

}  // namespace kern::cap
