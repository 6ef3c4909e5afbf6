// SPDX-License-Identifier: MIT
#pragma once

#include "kern/arch/trap_frame.hh"

/// Ring 3 with 32-bit code, for a host of guests that have no hardware: beside user.hh, of the bare
/// machine alone.
namespace kern::arch {

/// From now on this CPU's ring 3 executes 32-bit code and no other: selector::user_code leads to a
/// code segment of 32 bits, so that no far jump reaches 64-bit mode; SYSCALL is off, which would
/// enter ring 0 by another way; UMIP is, so that SGDT and its kind do the same on every CPU; and so
/// is SMAP, since QEMU lets IRET of ring 3 read the stack as ring 0 does. To be called
/// after run_user_mode has set the CPU up; for good.
void allow_32_bit_programs_only();

/// As enter_user, for a `frame` with 32-bit registers: with data segments, which 64-bit code does
/// not need. What the program has in FS and GS is null.
[[noreturn]] void enter_user_32(const TrapFrame& frame);

}  // namespace kern::arch
