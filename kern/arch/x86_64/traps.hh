// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>

namespace kern::arch {

/// What traps.S and the CPU push: the interrupted registers.
struct TrapFrame {
    std::uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax;
    std::uint64_t vector;
    std::uint64_t error_code;
    std::uint64_t rip, cs, rflags, rsp, ss;
};
static_assert(offsetof(TrapFrame, vector) == 15 * 8 && sizeof(TrapFrame) == 22 * 8);

/// Interrupt vectors above the exceptions. All but `spurious` want an end of interrupt.
namespace vector {
inline constexpr std::uint8_t first_interrupt = 32;
inline constexpr std::uint8_t kick = 0xf0;     ///< wakes a CPU, nothing else
inline constexpr std::uint8_t request = 0xf1;  ///< interrupt_and_wait
inline constexpr std::uint8_t timer = 0xf2;
inline constexpr std::uint8_t spurious = 0xff;
}  // namespace vector

}  // namespace kern::arch
