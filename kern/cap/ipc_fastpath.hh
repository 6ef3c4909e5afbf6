// SPDX-License-Identifier: MIT
#pragma once

#include "kern/cap/cap_lookup.hh"
#include "kern/cap/threads.hh"
#include "kern/cap/transfer.hh"

namespace kern::cap {

/// The system calls that have a fast path.
enum class FastCall : std::uint8_t { Call, ReplyRecv };

/// Does a Call or ReplyRecv of the current thread at once, without the slow path, where both sides
/// are ready and the other one runs next anyway (task lab8.ipc_fastpath).
///
/// It **fires** if all of the following are true, and must fire then:
///
/// - the current thread's message (for ReplyRecv, its reply) has at most register_words words, and
///   no capabilities;
/// - `address` leads to a capability to an Endpoint (cap_lookup in Tcb::cnode, 64 bits), with
///   write_right for Call, with read_right for ReplyRecv;
/// - *Call*: a receiver waits there;
/// - *ReplyRecv*: there is somebody in the caller's slot, who has not faulted; no sender waits at the
///   endpoint; and no notification is bound to the current thread that is active;
/// - no thread that is Ready has a higher priority than that other thread, the receiver or the
///   caller.
///
/// If it does not fire, the result is false and nothing was changed. If it does, the result is true
/// and everything is as the slow path and then schedule would have it:
///
/// - *Call*: ipc_send with the capability's badge and rights, is_call;
/// - *ReplyRecv*: reply, then ipc_recv, which waits (what the reply has left in Tcb::message stays
///   there);
/// - the other thread is Running: it has this CPU (Kernel::current, Tcb::cpu), and never stood in a
///   queue of Kernel::ready.
///
/// It may call what is declared in kern/cap/threads.hh, cap_lookup and transfer; not the tasks that
/// it replaces. How often it fired is counted by the caller.
///
/// @param address  in the current thread's CNode
[[nodiscard]] bool ipc_fastpath(Kernel& kernel, FastCall call, std::uint64_t address);

}  // namespace kern::cap
