// SPDX-License-Identifier: MIT
// Hint: the contract stands in vmm/svm/asm_vmrun.h, the background and the mistakes to avoid in
// labs/lab3-world-switch/handout.md.
#include "vmm/svm/asm_vmrun.h"

    // Towards the guest.
    svm_asm_vmrun_section 40, svm_asm_vmrun_state_in
    asm_vmrun_todo("lab3.svm_state")

    // And back.
    svm_asm_vmrun_section 80, svm_asm_vmrun_state_out

    .section .note.GNU-stack, "", @progbits
