// SPDX-License-Identifier: MIT
#include "kern/cap/wait.hh"

namespace kern::cap {

void wait(Kernel& kernel, Tcb& tcb, Notification& notification, bool is_blocking) {
    (void)kernel;
    (void)tcb;
    (void)notification;
    (void)is_blocking;
}

}  // namespace kern::cap
