// SPDX-License-Identifier: MIT
#include "kern/cap/wait.hh"

namespace kern::cap {

void wait(Kernel& kernel, Tcb& tcb, Notification& notification, bool is_blocking) {
    if (notification.active == 0 && is_blocking) {
        sleep(kernel, tcb, Tcb::State::Receiving, &notification.queue);
        return;
    }
    give_word(tcb, notification.word);
    notification.active = notification.word = 0;
}

}  // namespace kern::cap
