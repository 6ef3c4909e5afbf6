// SPDX-License-Identifier: MIT
#include "kern/cap/ipc_send.hh"

namespace kern::cap {

void ipc_send(Kernel& kernel, Tcb& sender, Endpoint& endpoint, const Sending& how) {
    (void)kernel;
    (void)sender;
    (void)endpoint;
    (void)how;
}

}  // namespace kern::cap
