// SPDX-License-Identifier: MIT
#include "vmm/svm/asm_vmrun.h"

    svm_asm_vmrun_section 20, svm_asm_vmrun_hold_back
    clgi
    sti
    // Whoever asked before CLGI is seen here; the interrupt of whoever asks after it waits for
    // VMRUN.
    cmpb $0, (%rcx)
    jne svm_asm_vmrun_stand_back

    svm_asm_vmrun_section 60, svm_asm_vmrun_enter
    vmrun %rax

    svm_asm_vmrun_section 95, svm_asm_vmrun_let_come
    stgi

    .section .note.GNU-stack, "", @progbits
