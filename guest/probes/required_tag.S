// SPDX-License-Identifier: MIT
// Cannot be started here: its header asks for a graphics mode and does not say that it may be left out.
#include "guest/probes/probe.h"

    multiboot2_begin
    .word 5, 0                          // framebuffer tag, required [multiboot2 3.1.10]
    .long 20
    .long 1024, 768, 32
    .long 0                             // padding
    multiboot2_end
    exit_with $1
    .section .note.GNU-stack, "", @progbits
