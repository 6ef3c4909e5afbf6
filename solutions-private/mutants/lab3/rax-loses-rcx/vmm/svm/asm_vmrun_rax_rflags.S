// SPDX-License-Identifier: MIT
#include "vmm/svm/asm_vmrun.h"

    svm_asm_vmrun_section 10, svm_asm_vmrun_rax_rflags_in
    movq REG_RAX(%rdi), %rcx
    movq %rcx, VMCB_RAX(%r9)
    movq REG_RFLAGS(%rdi), %rax
    movq %rax, VMCB_RFLAGS(%r9)

    svm_asm_vmrun_section 85, svm_asm_vmrun_rax_rflags_out
    movq VMCB_RAX(%r9), %rax
    movq %rax, REG_RAX(%rdi)
    movq VMCB_RFLAGS(%r9), %rax
    movq %rax, REG_RFLAGS(%rdi)

    .section .note.GNU-stack, "", @progbits
