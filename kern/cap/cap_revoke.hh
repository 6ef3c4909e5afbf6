// SPDX-License-Identifier: MIT
#pragma once

#include "kern/cap/lifetime.hh"
#include "kern/cap/tree.hh"

namespace kern::cap {

/// What cap_revoke deletes.
enum class Scope : std::uint8_t {
    Derived,  ///< revoke: all that was derived from the capability, itself not
    Itself,   ///< delete: the capability alone; what was derived from it is its parent's then
};

/// Revokes or deletes a capability (task lab8.cap_revoke).
///
/// **To delete one capability**, in this order: a Frame or PageTable does not stand in a page table
/// any more (unmap); is it the last capability to an object (is_last, asked while it still is in
/// the tree); its slot is taken out of the tree and empty (take_out); and if it was the last one,
/// the object ends (end_object, with a copy of the capability, since the slot is empty).
///
/// What is deleted, in this order:
///
/// 1. With Scope::Derived, everything below `slot` in the tree, at any depth, and nothing else:
///    neither `slot` nor its siblings. With Scope::Itself, the capability in `slot`, if there is
///    one.
/// 2. All that next_dead_slot finds, until it finds nothing: what stood in the slots of objects
///    that ended, in this call or before. More objects may end by that.
///
/// So with an empty `slot` only the dead are finished. (It may be that `slot` itself is among those
/// slots: it is empty then, and there is nothing more to do with it.)
///
/// **It can be preempted.** Between two deletions it looks at Machine::preemption_pending, and if
/// that is true and something is left, the result is Preempted. Each call deletes one capability
/// before it looks for the first time, if there is one: so it ends at last. At each look the tree is
/// well formed, and no object is there without a capability, other than the dead. Called again with
/// the same arguments, it goes on; also if somebody else has derived, deleted or revoked in between.
///
/// The time is that of what is deleted, however the capabilities stand below each other. Nothing is
/// called recursively, since programs decide how deep the tree is.
///
/// @param slot  of any type, or empty
/// @return Done or Preempted.
[[nodiscard]] Status cap_revoke(Kernel& kernel, Slot& slot, Scope scope);

}  // namespace kern::cap
