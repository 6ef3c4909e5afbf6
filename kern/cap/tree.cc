// SPDX-License-Identifier: MIT
#include "kern/cap/tree.hh"

#include "kern/cap/objects.hh"
#include "kern/lib/panic.hh"

namespace kern::cap {
namespace {

bool is_first(const Slot& slot) {
    return slot.before != nullptr && slot.before->first_child == &slot;
}
bool is_last_sibling(const Slot& slot) {
    return slot.after != nullptr && slot.after->last_child == &slot;
}

/// The list of siblings around `slot` now has those from `first` to `last` in its place; none of
/// them, if they are nullptr.
void replace(const Slot& slot, Slot* first, Slot* last) {
    const bool was_first = is_first(slot), was_last = is_last_sibling(slot);
    if (was_first)
        slot.before->first_child = first != nullptr ? first : was_last ? nullptr : slot.after;
    else if (slot.before != nullptr)
        slot.before->after = first != nullptr ? first : slot.after;
    if (was_last)
        slot.after->last_child = last != nullptr ? last : was_first ? nullptr : slot.before;
    else if (slot.after != nullptr)
        slot.after->before = last != nullptr ? last : slot.before;
    if (first != nullptr) first->before = slot.before;
    if (last != nullptr) last->after = slot.after;
}

}  // namespace

void put_below(Slot& parent, Slot& slot, const Capability& capability) {
    check(slot.is_empty(), "put_below: the slot is not empty");
    slot = {.capability = capability, .before = &parent, .after = &parent};
    if (parent.first_child != nullptr) {
        slot.after = parent.first_child;
        parent.first_child->before = &slot;
    } else {
        parent.last_child = &slot;
    }
    parent.first_child = &slot;
}

void take_out(Slot& slot) {
    replace(slot, slot.first_child, slot.last_child);
    slot = {};
}

void move(Slot& from, Slot& to) {
    check(to.is_empty(), "move: the slot is not empty");
    to = from;
    replace(from, &to, &to);
    if (to.first_child != nullptr) {
        to.first_child->before = &to;
        to.last_child->after = &to;
    }
    from = {};
    if (PageTable* const table = table_of(to.capability)) table->mapped[to.capability.value] = &to;
}

const Slot* parent_of(const Slot& slot) {
    const Slot* last = &slot;
    while (last->after != nullptr && !is_last_sibling(*last)) last = last->after;
    return last->after;
}

bool same_object(const Capability& a, const Capability& b) {
    switch (a.type) {
        case Type::CNode:
        case Type::Tcb:
        case Type::Endpoint:
        case Type::Notification:
        case Type::PageTable:
        case Type::AddressSpace:
        case Type::IrqHandler: return a.type == b.type && a.object == b.object;
        default: return false;
    }
}

bool is_last(const Slot& slot) {
    if (!same_object(slot.capability, slot.capability)) return false;
    for (const Slot* neighbour : {slot.first_child, slot.before, slot.after})
        if (neighbour != nullptr && same_object(slot.capability, neighbour->capability))
            return false;
    return true;
}

}  // namespace kern::cap
