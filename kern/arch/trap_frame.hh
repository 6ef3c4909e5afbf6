// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>

namespace kern::arch {

/// The registers of an interrupted program, in the order in which kern/arch/x86_64/traps.S and the
/// CPU push them: the lowest address first. From `rip` on it is what IRETQ pops.
struct alignas(16) TrapFrame {
    ///@{
    /// General registers; RSP is below, with those that IRETQ loads.
    std::uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax;
    ///@}
    std::uint64_t vector;      ///< why the kernel was entered: 0 to 255, or system_call_vector
    std::uint64_t error_code;  ///< of the exceptions that have one; otherwise 0
    ///@{
    /// What IRETQ pops.
    std::uint64_t rip, cs, rflags, rsp, ss;
    ///@}
};
static_assert(offsetof(TrapFrame, vector) == 120 && offsetof(TrapFrame, rip) == 136 &&
              sizeof(TrapFrame) == 176);

/// TrapFrame::vector of a program that executed SYSCALL, which has no vector of its own.
inline constexpr std::uint64_t system_call_vector = 256;

/// Continues a user program with the registers in `frame` (task lab1.enter_user): the way out of
/// the kernel, for the first time and after every trap. It does not come back: the kernel's stack
/// is simply left, and the next trap begins on an empty one.
///
/// - RDI holds `frame`. Let RSP point to it: then each register is one POP, in the frame's order.
///   r15 comes first and rax last.
/// - After them stand the vector and the error code, 16 bytes, which nobody pops.
/// - SWAPGS exchanges the GS base, now the kernel's own, for the user program's. It comes directly
///   before IRETQ: nothing of the kernel's can be reached through GS after it.
/// - IRETQ pops the last five words: rip, cs, rflags, rsp, ss.
///
/// @param frame  of a user program: cs and ss are the user's selectors
/// @note Called with interrupts disabled, without a lock, with the program's page table in CR3.
/// They stay disabled until IRETQ loads the program's flags.
extern "C" [[noreturn]] void enter_user(const TrapFrame* frame);

}  // namespace kern::arch
