// SPDX-License-Identifier: MIT
// Hint: the contract stands in vmm/svm/asm_vmrun.h, the background and the mistakes to avoid in
// labs/lab3-world-switch/handout.md.
#include "vmm/svm/asm_vmrun.h"

    // Hold interrupts back; last look at what others ask of us.
    svm_asm_vmrun_section 20, svm_asm_vmrun_hold_back
    asm_vmrun_todo("lab3.svm_vmrun")

    // Into the guest.
    svm_asm_vmrun_section 60, svm_asm_vmrun_enter

    // Let interrupts come.
    svm_asm_vmrun_section 95, svm_asm_vmrun_let_come

    .section .note.GNU-stack, "", @progbits
