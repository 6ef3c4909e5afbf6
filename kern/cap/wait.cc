// SPDX-License-Identifier: MIT
// Hint: the contract stands above the declaration in kern/cap/wait.hh,
// the background and the mistakes to avoid in labs/lab8-microkernel/handout.md.
#include "kern/cap/wait.hh"

#include "kern/lib/todo.hh"

namespace kern::cap {

void wait([[maybe_unused]] Kernel& kernel, [[maybe_unused]] Tcb& tcb,
          [[maybe_unused]] Notification& notification, [[maybe_unused]] bool is_blocking) {
    kern::todo("lab8.wait");
}

}  // namespace kern::cap
