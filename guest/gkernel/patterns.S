// SPDX-License-Identifier: MIT
// Bytes that are made anew for each run: grader/testkit/images.py fills them from the run's nonce
// before the image is given to the host. The odd starts are wanted: gkernel.ld puts each into a
// segment of its own that begins inside a page which another segment uses too.

.macro pattern name, section, flags, type, size
    .section \section, "\flags", @\type
    .balign 16
    .global \name, \name\()_end
    .type \name, @object
    .size \name, \size
\name:
    .skip \size
\name\()_end:
.endm

    pattern pattern_rodata, .pattern_rodata, a, progbits, 0x10000
    pattern pattern_data, .pattern_data, aw, progbits, 0x10000
    pattern pattern_bss, .bss.pattern, aw, nobits, 0x100000
    .section .note.GNU-stack, "", @progbits
