// SPDX-License-Identifier: MIT
#include "vmm/vmx/asm_vmrun.h"

    vmx_asm_vmrun_section 50, vmx_asm_vmrun_enter
    jne 1f
    movq $0, %r11
    vmlaunch
    jmp 2f
1:  movq $0, %r11
    vmresume
2:

    .section .note.GNU-stack, "", @progbits
