// SPDX-License-Identifier: MIT
// Hint: the contract stands above the declaration in kern/cap/cap_revoke.hh,
// the background and the mistakes to avoid in labs/lab8-microkernel/handout.md.
#include "kern/cap/cap_revoke.hh"

#include "kern/lib/todo.hh"

namespace kern::cap {

Status cap_revoke([[maybe_unused]] Kernel& kernel, [[maybe_unused]] Slot& slot,
                  [[maybe_unused]] Scope scope) {
    kern::todo("lab8.cap_revoke");
}

}  // namespace kern::cap
