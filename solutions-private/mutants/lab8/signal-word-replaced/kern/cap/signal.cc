// SPDX-License-Identifier: MIT
#include "kern/cap/signal.hh"

namespace kern::cap {

void signal(Kernel& kernel, Notification& notification, std::uint64_t badge) {
    Tcb* sleeper = notification.queue.first;
    Tcb* const bound = notification.bound;
    if (sleeper == nullptr && bound != nullptr && bound->state == Tcb::State::Receiving)
        sleeper = bound;
    if (sleeper == nullptr) {
        notification.active = 1;
        notification.word = badge;
        return;
    }
    leave_queue(*sleeper);
    give_word(*sleeper, badge);
    wake(kernel, *sleeper, Place::Last);
}

}  // namespace kern::cap
