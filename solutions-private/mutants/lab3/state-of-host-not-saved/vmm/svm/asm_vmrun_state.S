// SPDX-License-Identifier: MIT
#include "vmm/svm/asm_vmrun.h"

    svm_asm_vmrun_section 40, svm_asm_vmrun_state_in
    movq %rdx, %rax
    movq %rsi, %rax
    vmload %rax

    svm_asm_vmrun_section 80, svm_asm_vmrun_state_out
    movq %rsi, %rax
    vmsave %rax
    movq %rdx, %rax
    vmload %rax

    .section .note.GNU-stack, "", @progbits
