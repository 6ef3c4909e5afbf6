// SPDX-License-Identifier: MIT
#include "vmm/svm/asm_vmrun.h"

    svm_asm_vmrun_section 40, svm_asm_vmrun_state_in
    movq %rdx, %rax
    movq %rsi, %r10
    vmsave %rax
    movq %r10, %rax
    vmload %rax

    svm_asm_vmrun_section 80, svm_asm_vmrun_state_out
    movq %rsi, %rax
    vmsave %rax
    xchgq %rdx, %rax
    vmload %rax
    xchgq %rdx, %rax

    .section .note.GNU-stack, "", @progbits
