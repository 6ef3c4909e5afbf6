// SPDX-License-Identifier: MIT
// In front of system_call_entry while measuring: one number goes back to ring 3 at once, by SYSRET.
// That pair of instructions is what no system call can be faster than.
#include "kern/bench/numbers.h"

    .section .text
    .global bare_entry
bare_entry:
    cmp $BARE_CALL, %rax
    jne system_call_entry
    sysretq
    .section .note.GNU-stack, "", @progbits
