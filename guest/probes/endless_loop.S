// SPDX-License-Identifier: MIT
// Never ends by itself, never exits to the host: only the time limit stops it.
#include "guest/probes/probe.h"

    probe_start
1:  jmp 1b
    .section .note.GNU-stack, "", @progbits
