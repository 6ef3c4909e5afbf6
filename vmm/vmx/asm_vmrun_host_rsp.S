// SPDX-License-Identifier: MIT
// Hint: the contract stands in vmm/vmx/asm_vmrun.h, the background and the mistakes to avoid in
// labs/lab3-world-switch/handout.md.
#include "vmm/vmx/asm_vmrun.h"

    vmx_asm_vmrun_section 10, vmx_asm_vmrun_host_rsp
    asm_vmrun_todo("lab3.host_rsp")

    .section .note.GNU-stack, "", @progbits
