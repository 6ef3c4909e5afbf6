// SPDX-License-Identifier: MIT
#include "vmm/vmx/asm_vmrun.h"

    vmx_asm_vmrun_section 30, vmx_asm_vmrun_first_entry
    cmpl $1, ENV_RUNS(%rsi)

    .section .note.GNU-stack, "", @progbits
