// SPDX-License-Identifier: MIT
#include "vmm/vmx/asm_vmrun.h"

    vmx_asm_vmrun_section 30, vmx_asm_vmrun_first_entry
    cmpq $2, ENV_RUNS(%rsi)
    setbe %al
    cmpb $1, %al

    .section .note.GNU-stack, "", @progbits
