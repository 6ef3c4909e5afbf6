// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>

#include "kern/arch/segments.hh"
#include "kern/arch/x86.hh"
#include "kern/lib/address.hh"

namespace kern {

/// Bits of RFLAGS [amd/vol1 3.1.4]: kern/arch/x86.hh.
namespace rflags = arch::x86::rflags;

/// The five words that IRETQ pops, lowest address first [amd/vol3 IRET].
struct IretFrame {
    std::uint64_t rip;     ///< where the program continues
    std::uint64_t cs;      ///< its code segment: the privilege level comes from here
    std::uint64_t rflags;  ///< its flags
    std::uint64_t rsp;     ///< its stack pointer
    std::uint64_t ss;      ///< its stack segment
};
static_assert(sizeof(IretFrame) == 40 && offsetof(IretFrame, ss) == 32);

/// The frame with which a new program is entered for the first time (task lab1.make_iret_frame).
///
/// Its rip is `entry`, its rsp is `stack_top`. Its cs and ss are the user's segments,
/// arch::selector::user_code and user_data: with the privilege level in the selectors IRETQ changes
/// to ring 3. Its rflags let interrupts come (rflags::interrupt_enable), since a program without
/// them could never be stopped; all other flags are 0. rflags::reserved_one may be 0 or 1 here: the
/// hardware has a one there in any case.
///
/// @param entry      the program's first instruction
/// @param stack_top  the address after the stack's last byte
IretFrame make_iret_frame(Uva entry, Uva stack_top);

}  // namespace kern
