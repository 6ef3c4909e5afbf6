// SPDX-License-Identifier: MIT
// Waits for a message although nobody is there.
#include "kern/user/user.hh"

extern "C" void main() {
    (void)user::receive();
    user::exit(0);
}
