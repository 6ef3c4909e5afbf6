// SPDX-License-Identifier: MIT
// Jumps into a page that may be read and written only (the plan: protect=0x500000:rw). Writing
// there is allowed; the fetch must end this VM.
#include "guest/probes/probe.h"

#define PAGE 0x500000

    probe_start
    movb $0xc3, PAGE                    // RET
    mov $PHYSICAL_DATA(stack_top), %esp
    mov $PAGE, %eax
    call *%eax
    exit_with $1

    .section .bss
    .skip 256
stack_top:
    .section .note.GNU-stack, "", @progbits
