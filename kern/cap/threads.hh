// SPDX-License-Identifier: MIT
#pragma once

#include "kern/cap/kernel.hh"

namespace kern::cap {

/// Who waits where, and who runs.

///@{
/// Puts a thread that stands in no queue at the end of one, or in front. (Otherwise the kernel
/// panics.)
void push_back(Queue& queue, Tcb& tcb);
void push_front(Queue& queue, Tcb& tcb);
///@}
/// Takes it out of the queue where it stands, if any.
void leave_queue(Tcb& tcb);

/// It waits from now on: in `state`, at the end of `queue`; nullptr: in none. If it had a CPU, it
/// has none any more.
void sleep(Kernel& kernel, Tcb& tcb, Tcb::State state, Queue* queue);
/// Where a thread that is woken stands among the Ready ones of its priority. Whoever was given
/// something by a thread that may stop now goes first: that is the direct switch.
enum class Place : std::uint8_t { First, Last };
/// It waits no more, and is Ready. It stands in no queue when this is called.
void wake(Kernel& kernel, Tcb& tcb, Place place);
/// Whatever it waits for, it gets `status` instead, and is Ready, as the last one. Does nothing if
/// it does not wait.
void cancel(Kernel& kernel, Tcb& tcb, Status status);
/// It does nothing any more: Inactive, in no queue, on no CPU. If it waited, it gets
/// Status::Cancelled. Whom it owes a reply, it still does.
void suspend(Kernel& kernel, Tcb& tcb);

/// The highest priority of the threads that are Ready; -1 if there is none.
int highest_ready(const Kernel& kernel);
/// Decides who has this CPU: who has it keeps it, unless one of a higher priority is Ready. If
/// nobody is, Kernel::current is nullptr afterwards. The end of every system call. A thread that
/// loses its CPU is the first of its priority.
void schedule(Kernel& kernel);
/// The time slice of the current thread is over, or it called Yield: it is Ready, as the last one.
void yield(Kernel& kernel);

/// What a thread that waited for a message gets from a notification: an empty message with `word`
/// as its badge. With 0 it is what NBRecv gives where there is nothing.
void give_word(Tcb& tcb, std::uint64_t word);
/// `callee` has the caller's slot filled: `caller`, which is Calling, waits for its reply. The slot
/// was empty.
void put_caller(Tcb& callee, Tcb& caller, bool may_grant);
/// Empties the caller's slot of `callee`. Who stood there waits on, for nobody.
void drop_caller(Tcb& callee);

}  // namespace kern::cap
