// SPDX-License-Identifier: MIT
#pragma once

#include "kern/cap/threads.hh"
#include "kern/cap/transfer.hh"

namespace kern::cap {

/// How a message is received.
struct Receiving {
    bool may_grant = false;   ///< the capability to the endpoint has grant_right
    bool is_blocking = true;  ///< not NBRecv: it waits for a sender
};

/// Receives a message from an endpoint (task lab8.ipc_recv).
///
/// First of all the receiver's caller's slot is emptied (drop_caller): who receives anew without a
/// reply will not reply any more. Then the first of these that applies:
///
/// 1. **Its bound notification is active** (Tcb::bound): the receiver gets its word (give_word), and
///    the notification is not active any more; its word is 0. No sender is looked at.
/// 2. **A sender waits** in the endpoint's queue: the one that came first leaves it, and transfer is
///    called with that sender's `badge` and `may_grant`. If its `is_call` says so, it is Calling
///    from now on, in no queue, and stands in the receiver's caller's slot (put_caller; a reply may
///    have capabilities if Receiving::may_grant says so). Otherwise it is woken with Place::Last.
/// 3. **Nobody waits**, and Receiving::is_blocking: the receiver is Receiving, as the last one in
///    the endpoint's queue, and its `may_grant` is that of `how`.
/// 4. Otherwise it gets the word 0 (give_word).
///
/// In cases 1, 2 and 4 the receiver goes on. Who runs next is decided by the caller (schedule).
/// While it waits, it can be cancelled (cancel), by the end of the endpoint for example.
///
/// @param receiver  stands in no queue
/// @param endpoint  its queue has senders, or receivers, or nobody
void ipc_recv(Kernel& kernel, Tcb& receiver, Endpoint& endpoint, const Receiving& how);

}  // namespace kern::cap
