// SPDX-License-Identifier: MIT
// A program in ring 3 for measure_faults: RCX pages from RDI on are written, and UD2 is its end.
    .section .rodata
    .global touch_pages, touch_pages_end
touch_pages:
1:  movb $1, (%rdi)
    add $4096, %rdi
    loop 1b
    ud2
touch_pages_end:
    .section .note.GNU-stack, "", @progbits
