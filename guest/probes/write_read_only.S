// SPDX-License-Identifier: MIT
// Writes to a device's page, which is mapped READ and EXECUTE (the plan: mmio=0xfec00000). Reading
// it is allowed; the write must end this VM.
#include "guest/probes/probe.h"

    probe_start
    mov 0xfec00000, %eax
    movl $1, 0xfec00000
    exit_with $1
    .section .note.GNU-stack, "", @progbits
