// SPDX-License-Identifier: MIT
#include "kern/cap/untyped_retype.hh"

#include <algorithm>

#include "kern/lib/address.hh"

namespace kern::cap {

Status untyped_retype(Kernel& kernel, Slot& untyped, Type type, unsigned bits,
                      std::span<Slot> destination) {
    Capability& memory = untyped.capability;
    if (memory.type != Type::Untyped) return Status::InvalidCapability;
    const unsigned size_bits = object_bits(type, bits);
    const bool is_raw = type == Type::Untyped || type == Type::Frame;
    if (size_bits == 0 || destination.empty() || destination.size() > most_retyped ||
        (memory.is_device != 0 && !is_raw))
        return Status::InvalidArgument;
    for (const Slot& slot : destination)
        if (!slot.is_empty()) return Status::SlotOccupied;

    if (!has_children(untyped) && memory.where != 0) memory.value = memory.where = 0;
    const std::uint64_t size = 1ULL << size_bits, all = 1ULL << memory.size_bits;
    const std::uint64_t start = align_up(memory.value, size);
    if (start > all || (all - start) / size < destination.size()) return Status::NotEnoughMemory;
    const std::uint64_t end = start + destination.size() * size;

    if (memory.is_device == 0 && type != Type::Untyped) {
        for (memory.where = std::max(memory.where, memory.value); memory.where < end;) {
            const std::uint64_t piece = std::min(clear_piece, end - memory.where);
            kernel.machine->clear(memory.object + memory.where, piece);
            memory.where += piece;
            if (memory.where < end && kernel.machine->preemption_pending())
                return Status::Preempted;
        }
    }

    memory.value = end;
    std::uint64_t address = memory.object + start;
    for (Slot& slot : destination) {
        put_below(untyped, slot, begin_object(kernel, type, bits, address, memory.is_device != 0));
        address += size;
    }
    return Status::Done;
}

}  // namespace kern::cap
