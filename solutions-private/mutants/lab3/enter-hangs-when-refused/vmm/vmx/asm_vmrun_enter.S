// SPDX-License-Identifier: MIT
#include "vmm/vmx/asm_vmrun.h"

    vmx_asm_vmrun_section 50, vmx_asm_vmrun_enter
    je 1f
    vmresume
    jmp .
1:  vmlaunch

    .section .note.GNU-stack, "", @progbits
