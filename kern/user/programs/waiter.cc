// SPDX-License-Identifier: MIT
// Starts itself as children that end in different ways, and waits for each.
#include <cstdint>
#include <string_view>

#include "kern/user/user.hh"

namespace {

using kern::syscall::Outcome;

constexpr std::string_view self{"waiter.elf"};

void check(std::string_view role, Outcome outcome, std::uint64_t status) {
    const auto child = user::spawn(self, role);
    user::require(child > 0, "spawn");
    const auto ended = user::wait(child);
    user::require_equal(ended.outcome, static_cast<std::int64_t>(outcome), role);
    if (outcome == Outcome::exited)
        user::require_equal(static_cast<std::int64_t>(ended.status),
                            static_cast<std::int64_t>(status), role);
    // It is remembered.
    user::require_equal(user::wait(child).outcome, static_cast<std::int64_t>(outcome), role);
}

void be_a_child(std::uint64_t role) {
    switch (role) {
        case 1: user::exit(0x1234'5678'9abc);
        case 2: __builtin_trap();
        case 3: (void)user::receive(); user::exit(1);
        default: user::wait(user::parent_id()); user::exit(1);
    }
}

}  // namespace

extern "C" void main() {
    if (const auto role = user::argument("role", 0); role != 0) be_a_child(role);
    for (int turn = 0; turn < 20; ++turn) {
        check("role=1", Outcome::exited, 0x1234'5678'9abc);
        check("role=2", Outcome::faulted, 0);
    }
    // Nobody is left but two that wait: the one that waits for a message ends, and we go on.
    check("role=3", Outcome::stuck, 0);
    user::require_equal(user::wait(user::env_id()).outcome,
                        user::error(user::Failure::invalid_argument), "waiting for oneself");
    user::require_equal(user::wait(0x7fff'0000).outcome, user::error(user::Failure::not_found),
                        "waiting for nobody");
    user::require_equal(user::wait(-1).outcome, user::error(user::Failure::not_found),
                        "waiting for what is no identifier");
    if (user::argument("circle", 0) != 0)  // the child waits for us, and we for it
        user::wait(user::spawn(self, "role=4"));
    user::finish(20);
}
