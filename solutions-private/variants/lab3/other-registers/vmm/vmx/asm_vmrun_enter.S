// SPDX-License-Identifier: MIT
#include "vmm/vmx/asm_vmrun.h"

    vmx_asm_vmrun_section 50, vmx_asm_vmrun_enter
    jz 1f
    vmresume
    jmp 2f
1:  vmlaunch
2:
    nop

    .section .note.GNU-stack, "", @progbits
