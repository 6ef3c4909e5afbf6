// SPDX-License-Identifier: MIT
#pragma once

#include "kern/cap/threads.hh"

namespace kern::cap {

/// Waits for a notification, or polls it (task lab8.wait).
///
/// - **It is active**: the thread gets its word (give_word) and goes on. The notification is not
///   active any more, and its word is 0: one signal wakes one thread, and is taken once.
/// - **It is not**, and `is_blocking`: the thread is Waiting, as the last one in the notification's
///   queue.
/// - **It is not**, and not `is_blocking`: the thread gets the word 0 and goes on.
///
/// The caller's slot stays as it is. Who runs next is decided by the caller (schedule).
///
/// @param tcb          stands in no queue
/// @param is_blocking  Recv; otherwise NBRecv, a poll
void wait(Kernel& kernel, Tcb& tcb, Notification& notification, bool is_blocking);

}  // namespace kern::cap
