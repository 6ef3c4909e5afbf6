// SPDX-License-Identifier: MIT
// A fault with an empty IDT: #BP, then #GP, then #DF cannot be delivered, and the CPU shuts down.
#include "guest/probes/probe.h"

    probe_start
    lidt PHYSICAL_DATA(no_idt)
    int3
    exit_with $1

    .section .data
no_idt:
    .word 0
    .long 0
    .section .note.GNU-stack, "", @progbits
