// SPDX-License-Identifier: MIT
// Starts programs until the kernel refuses. Those wait for a message that nobody will ever send,
// once this one has ended: the kernel must notice that, and end them.
#include <cstdint>

#include "kern/user/user.hh"

extern "C" void main() {
    if (user::parent_id() != 0) {
        (void)user::receive();
        user::exit(2);  // who could have sent it?
    }
    std::uint64_t started = 0;
    for (;; ++started) {
        const auto child = user::spawn("spawner.elf", user::arguments());
        if (child > 0) continue;
        user::require_equal(child, user::error(user::Failure::out_of_memory), "spawn");
        break;
    }
    user::require(started >= user::argument("least", 1), "too few programs could be started");
    user::finish(1);
}
