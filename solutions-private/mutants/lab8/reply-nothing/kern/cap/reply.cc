// SPDX-License-Identifier: MIT
#include "kern/cap/reply.hh"

namespace kern::cap {

void reply(Kernel& kernel, Tcb& replier) {
    (void)kernel;
    (void)replier;
}

}  // namespace kern::cap
