// SPDX-License-Identifier: MIT
#include "vmm/svm/asm_vmrun.h"

    svm_asm_vmrun_section 10, svm_asm_vmrun_rax_rflags_in
    movq REG_RFLAGS(%rdi), %r11
    movq %r11, VMCB_RFLAGS(%r9)
    movq REG_RAX(%rdi), %r10
    movq %r10, VMCB_RAX(%r9)

    svm_asm_vmrun_section 85, svm_asm_vmrun_rax_rflags_out
    movq VMCB_RFLAGS(%r9), %r11
    movq %r11, REG_RFLAGS(%rdi)
    movq VMCB_RAX(%r9), %r10
    movq %r10, REG_RAX(%rdi)

    .section .note.GNU-stack, "", @progbits
