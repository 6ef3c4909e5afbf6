// SPDX-License-Identifier: MIT
// The program of the benchmark kernel: does something many times, and ends with the nanoseconds
// that it took as its status, or, with `ticks=1`, the ticks of the time-stamp counter.
#include "kern/bench/numbers.h"
#include "kern/user/cycles.hh"
#include "kern/user/user.hh"

namespace {

void call(std::uint64_t number, std::uint64_t rounds) {
    for (; rounds != 0; --rounds) {
        std::uint64_t answer = number;
        asm volatile("syscall" : "+a"(answer) : : "rcx", "r11", "memory");
    }
}

void spawn(std::uint64_t rounds) {
    for (; rounds != 0; --rounds) {
        user::require(user::spawn("bench.elf", "do=2") > 0, "spawn");
        user::yield();
    }
}

}  // namespace

extern "C" void main() {
    const auto rounds = user::argument("rounds", 0), number = user::argument("call", 0),
               what = user::argument("do", BENCH_EXIT);
    if (what == BENCH_WAIT) user::receive();
    const bool is_in_ticks = user::argument("ticks", 0) == 1;
    const auto clock = [&] { return is_in_ticks ? user::cycles() : user::time(); };
    const auto begin = clock();
    if (what == BENCH_CALL) call(number, rounds);
    if (what == BENCH_SPAWN) spawn(rounds);
    user::exit(clock() - begin);
}
