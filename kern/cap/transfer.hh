// SPDX-License-Identifier: MIT
#pragma once

#include "kern/cap/cap_derive.hh"
#include "kern/cap/cap_lookup.hh"

namespace kern::cap {

/// Gives the message of `from` to `to` (task lab8.transfer). Afterwards Tcb::message of `to` is what
/// it received:
///
/// - **label**, as it is, and **badge**, the argument.
/// - **length**: as many words as `from` says, but not more than message_words; and not more than
///   register_words, if one of the two has no buffer (buffer_of).
/// - **words**: the first ones from registers to registers, those from register_words on from
///   buffer to buffer (IpcBuffer::words, at the same index). Words of `to` from the length on stay
///   as they are, in registers and in the buffer.
/// - **capabilities**: without `may_grant`, or if one of the two has no buffer, none. Otherwise as
///   many as `from` says, but not more than message_capabilities, are given one after the other.
///   For each, IpcBuffer::sent of `from` is its address in the sender's CNode, and
///   IpcBuffer::received of `to` with the same index is the address of an empty slot in the
///   receiver's (both: cap_lookup in Tcb::cnode, 64 bits). It is derived from the sender's, with
///   all of its rights and without data (cap_derive). The first one that is not found, or cannot be
///   derived, or finds its slot missing or full, ends that: it and those behind it are not given,
///   and nobody gets an error. Message::capabilities of `to` is how many were given.
///
/// Nothing of `from` changes, but that its capabilities have children. Its message comes from a
/// program, so no number of it is trusted. `from` and `to` may have the same frame as buffer.
///
/// @param from       the sender; not `to`
/// @param badge      of the capability by which it was sent
/// @param may_grant  capabilities may go along
void transfer(Tcb& from, Tcb& to, std::uint64_t badge, bool may_grant);

}  // namespace kern::cap
