// SPDX-License-Identifier: MIT
// Keeps values in the x87 and SSE registers and their control words while others do the same.
#include <array>
#include <cstdint>

#include "kern/user/user.hh"

namespace {

/// A value for each SSE register.
struct Registers {
    alignas(16) std::array<std::array<std::uint64_t, 2>, 16> xmm{};
};

// All sixteen at once, with a system call or a long wait in between that touches none of them. What
// the wait is, `how` says: 0 is yield, otherwise so many turns of an empty loop.
void hold(const Registers& in, Registers& out, std::uint64_t how) {
    asm volatile(
        ".irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n\t"
        "movups \\n*16(%[in]), %%xmm\\n\n\t"
        ".endr\n\t"
        "test %[how], %[how]\n\t"
        "jnz 1f\n\t"
        "mov %[yield], %%eax\n\t"
        "syscall\n\t"
        "jmp 2f\n"
        "1:\n\t"
        "dec %[how]\n\t"
        "jnz 1b\n"
        "2:\n\t"
        ".irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n\t"
        "movups %%xmm\\n, \\n*16(%[out])\n\t"
        ".endr"
        : [how] "+r"(how)
        : [in] "r"(&in), [out] "r"(&out), [yield] "i"(kern::syscall::Number::yield)
        : "rax", "rcx", "r11", "memory", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6",
          "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
}

std::uint32_t mxcsr() {
    std::uint32_t value;
    asm volatile("stmxcsr %0" : "=m"(value));
    return value;
}
std::uint16_t x87_control() {
    std::uint16_t value;
    asm volatile("fnstcw %0" : "=m"(value));
    return value;
}

}  // namespace

extern "C" void main(const char*, std::uint64_t, std::int64_t id) {
    constexpr std::uint32_t start_mxcsr = 0x1f80, rounding = 0x6000, happened = 0x3f;
    constexpr std::uint16_t start_control = 0x37f, precision = 0x0300;
    user::require_equal(mxcsr(), start_mxcsr, "MXCSR at the start");
    user::require_equal(x87_control(), start_control, "the x87 control word at the start");

    const auto mine = static_cast<std::uint64_t>(id);
    const auto number = static_cast<double>(mine) + 0.5;  // exact: no flag of MXCSR is set
    const std::uint32_t my_mxcsr = start_mxcsr | ((mine & 3) << 13 & rounding);
    const auto my_control =
        static_cast<std::uint16_t>((start_control & ~precision) | (mine % 2 != 0 ? 0x200 : 0));
    asm volatile("ldmxcsr %0" : : "m"(my_mxcsr));
    asm volatile("fldcw %0" : : "m"(my_control));
    asm volatile("fldl %0" : : "m"(number));

    const auto rounds = user::argument("rounds", 20);
    const auto turns = user::argument("turns", 2'000'000);
    Registers in, out;
    for (std::uint64_t round = 0; round < rounds; ++round) {
        for (std::uint64_t i = 0; i < in.xmm.size(); ++i)
            in.xmm[i] = {mine << 32 | round << 8 | i, ~(mine << 32 | round << 8 | i)};
        hold(in, out, round % 2 == 0 ? 0 : turns);
        user::require(in.xmm == out.xmm, "an SSE register was changed by another program");
        user::require_equal(mxcsr() & ~happened, my_mxcsr, "MXCSR");
        user::require_equal(x87_control(), my_control, "the x87 control word");
    }
    double back = 0;
    asm volatile("fstpl %0" : "=m"(back));
    user::require(back == number, "the x87 register was changed by another program");
    user::finish(rounds);
}
