// SPDX-License-Identifier: MIT
// Hint: the contract stands above the declaration in kern/cap/ipc_recv.hh,
// the background and the mistakes to avoid in labs/lab8-microkernel/handout.md.
#include "kern/cap/ipc_recv.hh"

#include "kern/lib/todo.hh"

namespace kern::cap {

void ipc_recv([[maybe_unused]] Kernel& kernel, [[maybe_unused]] Tcb& receiver,
              [[maybe_unused]] Endpoint& endpoint, [[maybe_unused]] const Receiving& how) {
    kern::todo("lab8.ipc_recv");
}

}  // namespace kern::cap
