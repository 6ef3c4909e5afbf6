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

void remove_below(Kernel& kernel, Slot& slot, bool& is_preempted, bool& is_first) {
    while (slot.first_child != nullptr && !is_preempted) {
        Slot& child = *slot.first_child;
        remove_below(kernel, child, is_preempted, is_first);
        if (is_preempted) return;
        if (!is_first && kernel.machine->preemption_pending()) {
            is_preempted = true;
            return;
        }
        is_first = false;
        remove(kernel, child);
    }
}

}  // namespace

Status cap_revoke(Kernel& kernel, Slot& slot, Scope scope) {
    bool is_first = true, is_preempted = false;
    if (scope == Scope::Derived) remove_below(kernel, slot, is_preempted, is_first);
    if (is_preempted) return Status::Preempted;
    for (;; is_first = false) {
        Slot* next = scope == Scope::Itself && !slot.is_empty() ? &slot : nullptr;
        if (next == nullptr) next = next_dead_slot(kernel);
        if (next == nullptr) return Status::Done;
        if (!is_first && kernel.machine->preemption_pending()) return Status::Preempted;
        remove(kernel, *next);
    }
}

}  // namespace kern::cap
