// SPDX-License-Identifier: MIT
#include "kern/cap/ipc_recv.hh"

namespace kern::cap {

void ipc_recv(Kernel& kernel, Tcb& receiver, Endpoint& endpoint, const Receiving& how) {
    (void)kernel;
    (void)receiver;
    (void)endpoint;
    (void)how;
}

}  // namespace kern::cap
