// SPDX-License-Identifier: MIT
// Jumps to where no memory is registered.
#include "guest/probes/probe.h"

    probe_start
    mov $0x70000000, %eax
    jmp *%eax
    .section .note.GNU-stack, "", @progbits
