// SPDX-License-Identifier: MIT
// Touches one page after the other, from 6 MiB to 48 MiB; exits with 0 if it got them all.
#include "guest/probes/probe.h"

    probe_start
    mov $0x600000, %esi
1:  mov %esi, (%esi)
    add $0x1000, %esi
    cmp $0x3000000, %esi
    jb 1b
    exit_with $0
    .section .note.GNU-stack, "", @progbits
