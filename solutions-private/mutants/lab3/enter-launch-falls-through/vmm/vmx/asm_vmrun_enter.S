// SPDX-License-Identifier: MIT
#include "vmm/vmx/asm_vmrun.h"

    vmx_asm_vmrun_section 50, vmx_asm_vmrun_enter
    jne 1f
    vmlaunch
1:  vmresume
    jne 2f
    movl $0, %eax
2:

    .section .note.GNU-stack, "", @progbits
