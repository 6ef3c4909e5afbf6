// SPDX-License-Identifier: MIT
#pragma once

#include "kern/cap/threads.hh"

namespace kern::cap {

/// Signals a notification (task lab8.signal); with an interrupt, the kernel does it for the device
/// (interrupt_arrived in kern/cap/calls.hh). The first of these that applies:
///
/// 1. **Threads wait** in the notification's queue: the one that came first leaves it, gets `badge`
///    as the word (give_word), and is woken with Place::Last. The notification's own word stays 0.
/// 2. **The bound thread** (Notification::bound) is Receiving: it leaves the queue of its endpoint,
///    gets `badge` (give_word), and is woken with Place::Last.
/// 3. Otherwise the notification is active, and its word has the bits of `badge` as well as those
///    that it had. Also if `badge` is 0: a signal is never lost.
///
/// It never waits. Who runs next is decided by the caller (schedule).
///
/// @param badge  of the capability by which it is signalled
void signal(Kernel& kernel, Notification& notification, std::uint64_t badge);

}  // namespace kern::cap
