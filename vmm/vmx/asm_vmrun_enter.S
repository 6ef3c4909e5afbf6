// SPDX-License-Identifier: MIT
// Hint: the contract stands in vmm/vmx/asm_vmrun.h, the background and the mistakes to avoid in
// labs/lab3-world-switch/handout.md.
#include "vmm/vmx/asm_vmrun.h"

    vmx_asm_vmrun_section 50, vmx_asm_vmrun_enter
    asm_vmrun_todo("lab3.launch_or_resume")

    .section .note.GNU-stack, "", @progbits
