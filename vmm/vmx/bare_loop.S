// SPDX-License-Identifier: MIT
//
// A loop with nothing but VMRESUME, to compare the world switch with.
//
//   uint64_t vmx_bare_loop(uint64_t count,     RDI
//                          uint64_t rewind,    RSI   where the guest goes on each time; 0: where
//                                                    it stands
//                          uint64_t rax)       RDX   the guest's; returned as it is afterwards
//
// The guest of the current VMCS, which has been launched, shares the host's general registers and
// must leave them alone, all but RAX. Host RIP and host RSP are overwritten.
#include "vmm/vmx/asm_vmrun.h"

#define VMCS_GUEST_RIP 0x681e

    .text
    .global vmx_bare_loop
    .type vmx_bare_loop, @function
vmx_bare_loop:
    movl $VMCS_HOST_RSP, %eax
    vmwrite %rsp, %rax
    leaq .Lexit(%rip), %rcx
    movl $VMCS_HOST_RIP, %eax
    vmwrite %rcx, %rax
.Lagain:
    movq %rdx, %rax
    vmresume
    ud2
.Lexit:
    movq %rax, %rdx
    testq %rsi, %rsi
    jz .Lnext
    movl $VMCS_GUEST_RIP, %eax
    vmwrite %rsi, %rax
.Lnext:
    decq %rdi
    jnz .Lagain
    movq %rdx, %rax
    ret
    .size vmx_bare_loop, . - vmx_bare_loop

    .section .note.GNU-stack, "", @progbits
