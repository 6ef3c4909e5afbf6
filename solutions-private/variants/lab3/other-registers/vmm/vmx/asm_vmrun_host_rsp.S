// SPDX-License-Identifier: MIT
#include "vmm/vmx/asm_vmrun.h"

    vmx_asm_vmrun_section 10, vmx_asm_vmrun_host_rsp
    movq %rsp, %r10
    movq $VMCS_HOST_RSP, %r11
    vmwrite %r10, %r11

    .section .note.GNU-stack, "", @progbits
