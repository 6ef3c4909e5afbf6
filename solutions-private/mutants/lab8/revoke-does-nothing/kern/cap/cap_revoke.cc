// SPDX-License-Identifier: MIT
#include "kern/cap/cap_revoke.hh"

namespace kern::cap {
Status cap_revoke(Kernel& kernel, Slot& slot, Scope scope) {
    (void)kernel;
    (void)slot;
    (void)scope;
    return Status::Done;
}

}  // namespace kern::cap
