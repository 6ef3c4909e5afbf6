// SPDX-License-Identifier: MIT
// One of many at once: fills memory with what only it would write, lets others run, and finds it
// unchanged.
#include <cstdint>

#include "kern/user/digest.hh"
#include "kern/user/user.hh"

namespace {
constexpr std::uint64_t words = 1024;  // two pages
volatile std::uint64_t memory[words];
}  // namespace

extern "C" void main(const char*, std::uint64_t, std::int64_t id) {
    user::require_equal(user::env_id(), id, "the identifier");
    const auto rounds = user::argument("rounds", 8);
    for (std::uint64_t round = 1; round <= rounds; ++round) {
        const auto mine = static_cast<std::uint64_t>(id) * 1000 + round;
        for (std::uint64_t i = 0; i < words; ++i) memory[i] = user::scramble(mine + i);
        user::yield();
        for (std::uint64_t i = 0; i < words; ++i)
            user::require(memory[i] == user::scramble(mine + i), "another program wrote here");
    }
    user::finish(words);
}
