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
    const bool is_delete = scope == Scope::Itself;
    Slot* next = is_delete ? (slot.is_empty() ? nullptr : &slot) : slot.first_child;
    for (bool is_first = true;; is_first = false) {
        if (next == nullptr) next = next_dead_slot(kernel);
        if (next == nullptr) return Status::Done;
        if (!is_first && kernel.machine->preemption_pending()) return Status::Preempted;
        Slot* const after = next->after;
        const bool is_last_child = after == nullptr || after->last_child == next;
        remove(kernel, *next);
        next = is_last_child || is_delete ? nullptr : after;
    }
}

}  // namespace kern::cap
