// SPDX-License-Identifier: MIT
// Hint: the contract stands in vmm/svm/asm_vmrun.h, the background and the mistakes to avoid in
// labs/lab3-world-switch/handout.md.
#include "vmm/svm/asm_vmrun.h"

    // From Registers into the VMCB.
    svm_asm_vmrun_section 10, svm_asm_vmrun_rax_rflags_in
    asm_vmrun_todo("lab3.svm_rax_rflags")

    // And back.
    svm_asm_vmrun_section 85, svm_asm_vmrun_rax_rflags_out

    .section .note.GNU-stack, "", @progbits
