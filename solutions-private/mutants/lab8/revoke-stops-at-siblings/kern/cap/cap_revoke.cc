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
    Slot* const child = is_delete ? nullptr : slot.first_child;
    for (bool is_first = true;; is_first = false) {
        Slot* next = is_delete && !slot.is_empty() ? &slot : nullptr;
        if (child != nullptr && !child->is_empty())
            next = child->first_child != nullptr ? child->first_child : child;
        if (next == nullptr) next = next_dead_slot(kernel);
        if (next == nullptr) return Status::Done;
        if (!is_first && kernel.machine->preemption_pending()) return Status::Preempted;
        remove(kernel, *next);
    }
}

}  // namespace kern::cap
