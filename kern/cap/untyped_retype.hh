// SPDX-License-Identifier: MIT
#pragma once

#include <span>

#include "kern/cap/lifetime.hh"
#include "kern/cap/tree.hh"

namespace kern::cap {

/// The most objects that one call makes.
inline constexpr std::size_t most_retyped = 256;

/// Makes objects of the memory of an Untyped (task lab8.untyped_retype): as many as `destination`
/// has slots, one after the other in memory.
///
/// The first of these that applies is the result:
///
/// 1. InvalidCapability: `untyped` is no Untyped.
/// 2. InvalidArgument: object_bits of `type` and `bits` is 0; `destination` has no slot, or more
///    than most_retyped; or the Untyped is a device's, and `type` is neither Untyped nor Frame.
/// 3. SlotOccupied: a slot of `destination` is not empty.
/// 4. NotEnoughMemory: they do not fit, see below. No sum overflows.
/// 5. Preempted, see below.
///
/// **Where.** Capability::value is the watermark: so many bytes from the Untyped's start on were
/// given away. An Untyped without children whose watermark is not 0 gets its memory back: its
/// watermark is 0, and none of its memory is known to be zero any more. (If it is 0 already,
/// Capability::where stays: that is what a preempted call has cleared.) The reset may also be written
/// down where the result is an error, and is the only change then. The first object lies at the
/// first address, from the watermark on, that is a multiple of the object's size; object i behind
/// it by i sizes. An Untyped's own address is a multiple of its size.
///
/// **Clear first.** Memory of a device is never cleared, and that of new Untypeds needs not be.
/// Otherwise all memory from the watermark to the end of the last object is made zero by
/// Machine::clear, in pieces of at most clear_piece bytes. After each piece but the last,
/// Machine::preemption_pending is looked at, and if that is true the result is Preempted: no object
/// was made, and the watermark is what it was. Capability::where says how far it came: up to that
/// byte, from the Untyped's start on, all memory behind the watermark is zero. What is known to be
/// zero is not cleared again, so calling it again with the same arguments ends at last. Memory
/// behind the last object is not touched.
///
/// **Then all at once.** The watermark is the end of the last object. Each slot of `destination`
/// gets the capability of begin_object, the first slot that of the lowest address, and stands below
/// `untyped` in the tree, as a child of it, by put_below. Capability::where still tells the truth.
///
/// @param untyped      the memory
/// @param type         of the objects
/// @param bits         of a CNode and an Untyped, how large (Capability::size_bits)
/// @param destination  empty slots
/// @note While there are dead (Kernel::dead), the caller finishes them first: their memory may be
/// this Untyped's.
[[nodiscard]] Status untyped_retype(Kernel& kernel, Slot& untyped, Type type, unsigned bits,
                                    std::span<Slot> destination);

}  // namespace kern::cap
