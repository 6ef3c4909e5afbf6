// SPDX-License-Identifier: MIT
#include "vmm/vmx/asm_vmrun.h"

    vmx_asm_vmrun_section 30, vmx_asm_vmrun_first_entry
    testq %rsp, %rsp

    .section .note.GNU-stack, "", @progbits
