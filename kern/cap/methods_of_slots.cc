// SPDX-License-Identifier: MIT
// Untypeds and CNodes: what makes, derives and deletes capabilities.
#include "kern/cap/cap_derive.hh"
#include "kern/cap/cap_revoke.hh"
#include "kern/cap/methods.hh"
#include "kern/cap/untyped_retype.hh"

namespace kern::cap {
namespace {

Status derive(const Invocation& call, std::optional<std::uint64_t> data) {
    Slot* const to = slot_at(call.slot.capability, call.words[0]);
    if (to == nullptr) return Status::InvalidArgument;
    Slot* const from = call.find(call.words[1]);
    if (from == nullptr) return Status::InvalidCapability;
    return cap_derive(*from, *to, static_cast<Rights>(call.words[2] & all_rights), data);
}

}  // namespace

Status retype(const Invocation& call) {
    if (call.kernel.dead != nullptr) {
        Slot nothing;
        if (const Status status = cap_revoke(call.kernel, nothing, Scope::Itself);
            status != Status::Done)
            return status;
    }
    // Only now: what this call names may have been among what the dead had.
    const std::uint64_t type = call.words[0] & 0xff, bits = call.words[0] >> 8;
    const Slot* const node = call.find(call.words[1], Type::CNode);
    if (node == nullptr) return Status::InvalidCapability;
    const std::uint64_t first = call.words[2], count = call.words[3];
    const std::uint64_t indices = cnode_of(node->capability).count;
    if (type > static_cast<std::uint64_t>(Type::IoPorts) || bits > most_untyped_bits ||
        first == 0 || first > indices || count > indices - first + 1)
        return Status::InvalidArgument;
    return untyped_retype(call.kernel, call.slot, static_cast<Type>(type),
                          static_cast<unsigned>(bits),
                          {&cnode_of(node->capability).slot(first), count});
}

Status copy(const Invocation& call) {
    return derive(call, std::nullopt);
}
Status mint(const Invocation& call) {
    return derive(call, call.words[3]);
}

Status move_here(const Invocation& call) {
    Slot* const to = slot_at(call.slot.capability, call.words[0]);
    if (to == nullptr) return Status::InvalidArgument;
    Slot* const from = call.find(call.words[1]);
    if (from == nullptr) return Status::InvalidCapability;
    if (from->is_empty()) return Status::SlotEmpty;
    if (!to->is_empty()) return Status::SlotOccupied;
    move(*from, *to);
    return Status::Done;
}

Status remove(const Invocation& call) {
    Slot* const slot = slot_at(call.slot.capability, call.words[0]);
    if (slot == nullptr) return Status::InvalidArgument;
    return cap_revoke(call.kernel, *slot, Scope::Itself);
}
Status revoke(const Invocation& call) {
    Slot* const slot = slot_at(call.slot.capability, call.words[0]);
    if (slot == nullptr) return Status::InvalidArgument;
    return cap_revoke(call.kernel, *slot, Scope::Derived);
}

}  // namespace kern::cap
