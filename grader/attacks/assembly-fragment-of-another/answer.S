// SPDX-License-Identifier: MIT
#include "vmm/vmx/asm_vmrun.h"

    vmx_asm_vmrun_section 10, vmx_asm_vmrun_host_rsp
    movl $VMCS_HOST_RSP, %eax
    lea -8(%rsp), %rcx
    vmwrite %rcx, %rax

    .section .text.vmx_asm_vmrun.19, "ax", @progbits
    jmp 1f

    .section .text.vmx_asm_vmrun.21, "ax", @progbits
1:  nop

    .section .note.GNU-stack, "", @progbits
