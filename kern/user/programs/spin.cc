// SPDX-License-Identifier: MIT
// Never gives its CPU away: only a timer interrupt takes it. With `rounds=N` there are two of it,
// which take turns through a page that they share; neither makes a system call in between, so on
// one CPU each turn wants a preemption.
#include <cstdint>

#include "kern/user/user.hh"

namespace {

constexpr std::uint64_t shared = user::utemp;

/// Takes every second turn, from `turn` on; the page holds the number of the next one.
void take_turns(std::uint64_t turn, std::uint64_t rounds) {
    auto& next = *reinterpret_cast<volatile std::uint64_t*>(shared);
    for (; turn < rounds; turn += 2) {
        while (next != turn) {
        }
        next = turn + 1;
    }
    while (next < rounds) {
    }
}

}  // namespace

extern "C" void main() {
    const auto rounds = user::argument("rounds", 0);
    if (rounds == 0) {
        for (volatile std::uint64_t forever = 0;;) forever = forever + 1;
    }
    if (const auto parent = user::parent_id(); parent > 0) {
        const auto message = user::receive(shared);
        user::require_equal(message.sender, parent, "the page's sender");
        take_turns(1, rounds);
        user::exit(0);
    }
    user::require_equal(user::page_alloc(shared, user::right_read | user::right_write), 0,
                        "page_alloc");
    const auto child = user::spawn("spin.elf", user::arguments());
    user::require(child > 0, "spin.elf cannot be spawned");
    user::require_equal(user::send(child, 0, shared, user::right_read | user::right_write), 0,
                        "sending the page");
    take_turns(0, rounds);
    user::finish(*reinterpret_cast<volatile std::uint64_t*>(shared));
}
