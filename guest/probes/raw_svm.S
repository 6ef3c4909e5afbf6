// SPDX-License-Identifier: MIT
// Executes an instruction of the virtualization extension that this host does not serve.
#include "guest/probes/probe.h"

    probe_start
    mov $PHYSICAL_DATA(page), %eax
    vmsave %eax
    exit_with $1

    .section .bss
    .balign 4096
page:
    .skip 4096
    .section .note.GNU-stack, "", @progbits
