// SPDX-License-Identifier: MIT
// The root task's first instructions. RSP is the end of a stack (RootInfo::stack_end).
    .section .text.start, "ax", @progbits
    .global _start
    .type _start, @function
_start:
    xor %ebp, %ebp
    call main
    ud2
    .size _start, . - _start
    .section .note.GNU-stack, "", @progbits
