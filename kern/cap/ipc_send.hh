// SPDX-License-Identifier: MIT
#pragma once

#include "kern/cap/threads.hh"
#include "kern/cap/transfer.hh"

namespace kern::cap {

/// How a message is sent.
struct Sending {
    std::uint64_t badge = 0;  ///< of the capability to the endpoint
    bool may_grant = false;   ///< that has grant_right
    bool is_blocking = true;  ///< not NBSend: it waits for a receiver
    bool is_call = false;     ///< Call: it waits for a reply afterwards; is_blocking is true then
};

/// Sends the message of `sender` to an endpoint (task lab8.ipc_send).
///
/// **If a receiver waits** in the endpoint's queue, the one that came first gets the message: it
/// leaves the queue, transfer is called with Sending::badge and Sending::may_grant, and it is woken
/// with Place::First. With Sending::is_call the sender is Calling then, in no queue, and stands in
/// the receiver's caller's slot (put_caller; a reply may have capabilities if Tcb::may_grant of the
/// receiver says so). Otherwise nothing of the sender changes: it goes on.
///
/// **If none waits**, with Sending::is_blocking the sender is Sending, as the last one in the
/// endpoint's queue, and its `badge`, `may_grant` and `is_call` are those of `how`. Otherwise
/// nothing happens, and the sender cannot tell: it has no capability to hear of receivers.
///
/// Who runs next is decided by the caller (schedule), not here.
///
/// @param sender    stands in no queue: it is Running, or the kernel speaks for it (a fault). Its
///                  message is in Tcb::message
/// @param endpoint  its queue has senders, or receivers, or nobody
void ipc_send(Kernel& kernel, Tcb& sender, Endpoint& endpoint, const Sending& how);

}  // namespace kern::cap
