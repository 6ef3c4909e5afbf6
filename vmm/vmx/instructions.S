// SPDX-License-Identifier: MIT
//
// VMX's own instructions as functions, and what else of the processor the VMCS leaves to us. See
// instructions.hh.

.macro function name
    .text
    .global \name
    .type \name, @function
\name:
.endm

// Succeeded: CF = 0 and ZF = 0 [intel/vol3c 31.2].
.macro return_success
    seta %al
    movzbl %al, %eax
    ret
.endm

function vmx_vmread
    vmread %rdi, %rax
    jbe 1f
    ret
1:  xorl %eax, %eax
    ret

function vmx_vmwrite
    vmwrite %rsi, %rdi
    return_success

function vmx_vmxon
    pushq %rdi
    vmxon (%rsp)
    popq %rdi
    return_success

function vmx_vmclear
    pushq %rdi
    vmclear (%rsp)
    popq %rdi
    return_success

function vmx_vmptrld
    pushq %rdi
    vmptrld (%rsp)
    popq %rdi
    return_success

function vmx_invept
    pushq $0
    pushq %rsi
    invept (%rsp), %rdi
    popq %rdi
    popq %rdi
    return_success

function vmx_invvpid
    pushq $0
    pushq %rsi
    invvpid (%rsp), %rdi
    popq %rdi
    popq %rdi
    return_success

function vmx_take_nmi
    int $2
    ret

function vmx_read_dr6
    movq %dr6, %rax
    ret

function vmx_write_dr6
    movq %rdi, %dr6
    ret

    .section .note.GNU-stack, "", @progbits
