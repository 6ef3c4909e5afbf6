// SPDX-License-Identifier: MIT
#pragma once

#include "kern/cap/threads.hh"
#include "kern/cap/transfer.hh"

namespace kern::cap {

/// Replies to the thread in the caller's slot of `replier` (task lab8.reply).
///
/// If the slot is empty, nothing happens, and the replier cannot tell: its caller may have died.
/// Otherwise the slot is used once: it is empty afterwards (drop_caller), and
///
/// - a caller that made a call gets the replier's message, by transfer with badge 0 and
///   Tcb::reply_may_grant as it was, and is woken with Place::First;
/// - a caller that has faulted (Tcb::faulted) gets no message, since its registers are those of the
///   fault. If the label of the reply is 0, it is woken with Place::First, and does what faulted
///   again; otherwise it is Inactive, and Tcb::status may be anything. Either way it is not
///   `faulted` any more.
///
/// Nothing else of the replier changes: it goes on. Who runs next is decided by the caller
/// (schedule).
///
/// @param replier  its message is in Tcb::message
void reply(Kernel& kernel, Tcb& replier);

}  // namespace kern::cap
