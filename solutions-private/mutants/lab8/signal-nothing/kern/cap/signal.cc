// SPDX-License-Identifier: MIT
#include "kern/cap/signal.hh"

namespace kern::cap {

void signal(Kernel& kernel, Notification& notification, std::uint64_t badge) {
    (void)kernel;
    (void)notification;
    (void)badge;
}

}  // namespace kern::cap
