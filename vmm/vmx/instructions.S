// SPDX-License-Identifier: MIT
//
// VMX's own instructions as functions, and what else of the processor the VMCS leaves to us. See
// instructions.hh.

#include "vmm/vmx/exit_fields.h"

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

.macro read_exit_field field, place
    movl $\field, %eax
    vmread %rax, \place(%rdi)
.endm

    // VMREAD into memory, one behind the other: a call for each would take longer than all of them.
    .section .text.hot.vmx_read_exit_fields, "ax", @progbits
    .global vmx_read_exit_fields
    .type vmx_read_exit_fields, @function
vmx_read_exit_fields:
    read_exit_field VMCS_EXIT_REASON, EXIT_REASON
    read_exit_field VMCS_EXIT_QUALIFICATION, EXIT_QUALIFICATION
    read_exit_field VMCS_EXIT_INSTRUCTION_LENGTH, EXIT_INSTRUCTION_LENGTH
    read_exit_field VMCS_INSTRUCTION_ERROR, EXIT_INSTRUCTION_ERROR
    read_exit_field VMCS_GUEST_RSP, EXIT_RSP
    read_exit_field VMCS_GUEST_RIP, EXIT_RIP
    read_exit_field VMCS_GUEST_RFLAGS, EXIT_RFLAGS
    read_exit_field VMCS_GUEST_SS_ACCESS_RIGHTS, EXIT_SS_ACCESS_RIGHTS
    read_exit_field VMCS_GUEST_INTERRUPTIBILITY_STATE, EXIT_INTERRUPTIBILITY_STATE
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
