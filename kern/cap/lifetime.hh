// SPDX-License-Identifier: MIT
#pragma once

#include "kern/cap/kernel.hh"

namespace kern::cap {

/// How objects begin and end.

/// Makes an object at `address`, in memory that is zero, and gives back its first capability, with
/// all rights. An Untyped and a Frame are not touched. `type` and `bits` are such that object_bits
/// is not 0.
Capability begin_object(Kernel& kernel, Type type, unsigned bits, std::uint64_t address,
                        bool is_device);

/// The object of `capability`, which was its last one, ends: nobody waits for it any more, nobody
/// runs it, nothing is mapped by it. If it has slots, it is one of the dead now: they are emptied
/// later (next_dead_slot). Does nothing to types that are no object.
void end_object(Kernel& kernel, const Capability& capability);
/// The next slot of the dead that is not empty; nullptr: all are, and nobody is dead any more. As
/// long as there is one, no memory may be used anew.
Slot* next_dead_slot(Kernel& kernel);

/// Where `slot` is a Frame or a PageTable that stands in a table: it does no more. *Each*
/// capability to a Frame has its own place there, not only the last one.
void unmap(Kernel& kernel, Slot& slot);

}  // namespace kern::cap
