// SPDX-License-Identifier: MIT
#include "vmm/svm/asm_vmrun.h"

    svm_asm_vmrun_section 20, svm_asm_vmrun_hold_back
    clgi
    movl (%rcx), %r10d
    sti
    testl %r10d, %r10d
    jnz svm_asm_vmrun_stand_back

    svm_asm_vmrun_section 60, svm_asm_vmrun_enter
    vmrun %rax

    svm_asm_vmrun_section 95, svm_asm_vmrun_let_come
    nop
    stgi

    .section .note.GNU-stack, "", @progbits
