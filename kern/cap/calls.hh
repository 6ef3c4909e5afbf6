// SPDX-License-Identifier: MIT
#pragma once

#include "kern/cap/kernel.hh"

namespace kern::cap {

/// Serves a system call of the current thread, whose message is in Tcb::message, and decides who
/// has this CPU afterwards: Kernel::current. Tcb::status of the thread says how it ended, unless
/// it waits: then it is whatever ends that.
///
/// | call | Endpoint | Notification | other objects |
/// |---|---|---|---|
/// | Send, NBSend | ipc_send, write_right | signal, write_right | invoke, without an answer |
/// | Call | ipc_send, write_right | InvalidCapability | invoke, the answer in the message |
/// | Recv, NBRecv | ipc_recv, read_right | wait, read_right | InvalidCapability |
/// | Reply | reply; no address | | |
/// | ReplyRecv | reply, then Recv | reply, then Recv | reply, then InvalidCapability |
///
/// Call and ReplyRecv try ipc_fastpath first.
///
/// @param address  of the capability, 64 bits in the thread's CNode
/// @return Preempted: the thread is Ready, and is to make the same call again when it runs (its
/// message is what it was). Otherwise Done.
Status system_call(Kernel& kernel, SystemCall call, std::uint64_t address);

/// Calls a method of a kernel object: what a Send or a Call of the current thread does that names
/// neither an Endpoint nor a Notification. The message's label is the method.
/// Afterwards that message is the answer: empty, but for methods that say otherwise. With Preempted
/// it is what it was. What a method does not find by an address is InvalidCapability; a method that
/// the object does not have, fewer words than the method has, and a number that is out of its range
/// are InvalidArgument.
/// @return The status for the thread; Preempted as of system_call.
[[nodiscard]] Status invoke(Kernel& kernel, Slot& slot);

/// The current thread has faulted: its handler gets `message` by a call, as if the thread had made
/// it by the capability in Tcb::fault_handler (an Endpoint with write_right). Without one the
/// thread is Inactive. Then schedule.
void fault(Kernel& kernel, const Message& message);

/// An interrupt has arrived: it is masked until user code acknowledges it (a method of
/// IrqHandler: Machine::unmask), and the notification that was set for it, if any, is signalled.
/// Then schedule.
void interrupt_arrived(Kernel& kernel, unsigned irq);

}  // namespace kern::cap
