// SPDX-License-Identifier: MIT
#include "vmm/vmx/asm_vmrun.h"

    vmx_asm_vmrun_section 50, vmx_asm_vmrun_enter
    jne 1f
    vmlaunch
    jmp 2f
1:  vmresume
2:  testq %rsp, %rsp

    .section .note.GNU-stack, "", @progbits
