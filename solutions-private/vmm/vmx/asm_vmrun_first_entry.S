// SPDX-License-Identifier: MIT
#include "vmm/vmx/asm_vmrun.h"

    vmx_asm_vmrun_section 30, vmx_asm_vmrun_first_entry
    cmpq $1, ENV_RUNS(%rsi)
    // ZF says it, and ZF alone: who asks CF in its place is found out.
    stc

    .section .note.GNU-stack, "", @progbits
