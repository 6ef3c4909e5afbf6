// SPDX-License-Identifier: MIT
#include "kern/cap/cap_revoke.hh"

namespace kern::cap {
namespace {

/// Deletes one capability.
void remove(Kernel& kernel, Slot& slot) {
    unmap(kernel, slot);
    const Capability capability = slot.capability;
    const bool ends = is_last(slot);
    take_out(slot);
    if (ends) end_object(kernel, capability);
}

}  // namespace

Status cap_revoke(Kernel& kernel, Slot& slot, Scope scope) {
    for (bool is_first = true;; is_first = false) {
        // The children of what is taken out come up, so the first child is all that is to be seen.
        Slot* next = slot.first_child;
        if (scope == Scope::Itself && next == nullptr) next = slot.is_empty() ? nullptr : &slot;
        if (next == nullptr) next = next_dead_slot(kernel);
        if (next == nullptr) return Status::Done;
        if (!is_first && kernel.machine->preemption_pending()) return Status::Preempted;
        remove(kernel, *next);
    }
}

}  // namespace kern::cap
