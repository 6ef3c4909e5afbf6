// SPDX-License-Identifier: MIT
// Looks at the registers as they are at the start, and then keeps a value in each general register
// while it is taken off its CPU again and again. It goes on for longer than a slice of the
// scheduler, so that where another program waits for the CPU it *is* taken off, however fast the
// machine.
#include <array>
#include <cstdint>

#include "kern/user/user.hh"

namespace {

/// All general registers but RSP, by the order of their numbers: rax rcx rdx rbx rbp rsi rdi r8 to
/// r15.
constexpr std::size_t count = 15;
using Registers = std::array<std::uint64_t, count>;

extern "C" {
Registers registers_in, registers_out;
std::uint64_t registers_turns;
// Loads registers_in, counts registers_turns down to 0, and stores what is in the registers then.
void hold_registers();
}

asm(R"(
    .text
    .global hold_registers
    .type hold_registers, @function
hold_registers:
    push %rbx
    push %rbp
    push %r12
    push %r13
    push %r14
    push %r15
    mov registers_in, %rax
    mov registers_in + 8, %rcx
    mov registers_in + 16, %rdx
    mov registers_in + 24, %rbx
    mov registers_in + 32, %rbp
    mov registers_in + 40, %rsi
    mov registers_in + 48, %rdi
    mov registers_in + 56, %r8
    mov registers_in + 64, %r9
    mov registers_in + 72, %r10
    mov registers_in + 80, %r11
    mov registers_in + 88, %r12
    mov registers_in + 96, %r13
    mov registers_in + 104, %r14
    mov registers_in + 112, %r15
1:  decq registers_turns
    jnz 1b
    mov %rax, registers_out
    mov %rcx, registers_out + 8
    mov %rdx, registers_out + 16
    mov %rbx, registers_out + 24
    mov %rbp, registers_out + 32
    mov %rsi, registers_out + 40
    mov %rdi, registers_out + 48
    mov %r8, registers_out + 56
    mov %r9, registers_out + 64
    mov %r10, registers_out + 72
    mov %r11, registers_out + 80
    mov %r12, registers_out + 88
    mov %r13, registers_out + 96
    mov %r14, registers_out + 104
    mov %r15, registers_out + 112
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbp
    pop %rbx
    ret
    .size hold_registers, . - hold_registers
)");

}  // namespace

extern "C" void main(const char* text, std::uint64_t size, std::int64_t id) {
    constexpr std::uint64_t stack_page = 0x1000;
    user::require(user::address_of(text) == stack_page && size == user::arguments().size(),
                  "RDI and RSI do not hold the arguments at the start");
    user::require_equal(id, user::env_id(), "RDX at the start, the identifier");
    constexpr std::uint64_t long_enough = 50'000'000;  // nanoseconds
    const auto rounds = user::argument("rounds", 4), turns = user::argument("turns", 3'000'000);
    const std::uint64_t until = user::time() + long_enough;
    for (std::uint64_t round = 1; round <= rounds || user::time() < until; ++round) {
        for (std::size_t i = 0; i < count; ++i)
            registers_in[i] =
                (round << 8 | i) * 0x0101'0101'0101'0101 + static_cast<std::uint64_t>(id);
        registers_turns = turns;
        hold_registers();
        for (std::size_t i = 0; i < count; ++i)
            user::require_equal(static_cast<std::int64_t>(registers_out[i]),
                                static_cast<std::int64_t>(registers_in[i]),
                                "a general register after interrupts");
    }
    user::finish(rounds);
}
