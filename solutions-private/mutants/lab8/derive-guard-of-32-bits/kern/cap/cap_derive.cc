// SPDX-License-Identifier: MIT
#include "kern/cap/cap_derive.hh"

namespace kern::cap {
namespace {

/// Puts `data` into the copy. Returns whether it is allowed.
bool mint(Capability& copy, std::uint64_t data) {
    switch (copy.type) {
        case Type::Endpoint:
        case Type::Notification:
            if (data == 0 || copy.value != 0) return false;
            copy.value = data;
            return true;
        case Type::CNode:
            copy.guard_bits = data & 63;
            copy.value = static_cast<unsigned>(data >> 6);
            return copy.guard_bits <= 58 && copy.value >> copy.guard_bits == 0;
        case Type::IoPorts: {
            const std::uint64_t first = data & 0xffff, last = data >> 16;
            if (last < first || first < (copy.object & 0xffff) || last > copy.object >> 16)
                return false;
            copy.object = data;
            return true;
        }
        default: return false;
    }
}

}  // namespace

Status cap_derive(Slot& source, Slot& destination, Rights rights,
                  std::optional<std::uint64_t> data) {
    if (source.is_empty()) return Status::SlotEmpty;
    if (!destination.is_empty()) return Status::SlotOccupied;
    Capability copy = source.capability;
    if (copy.type == Type::IrqControl || copy.type == Type::PageTable) return Status::NotAllowed;
    if (copy.type == Type::Untyped && has_children(source)) return Status::HasChildren;
    if (data && !mint(copy, *data)) return Status::InvalidArgument;
    copy.rights &= rights;
    if (copy.type == Type::Untyped) source.capability.value = 1ULL << copy.size_bits;
    if (copy.type == Type::Untyped || copy.type == Type::Frame) copy.value = copy.where = 0;
    put_below(source, destination, copy);
    return Status::Done;
}

}  // namespace kern::cap
