// SPDX-License-Identifier: MIT
// Reads a port where no device is and that no kernel looks at, which must end this VM, unless its
// ports are open: then it reads as ones. So does a port that is known to be absent, before.
#include "guest/probes/probe.h"

#define ABSENT_PORT 0x2f8
#define UNKNOWN_PORT 0x4321

    probe_start
    mov $ABSENT_PORT, %dx
    in %dx, %al
    cmp $0xff, %al
    jne 1f
    mov $UNKNOWN_PORT, %dx
    in %dx, %al
    cmp $0xff, %al
    jne 1f
    exit_with $42
1:  exit_with $1
    .section .note.GNU-stack, "", @progbits
