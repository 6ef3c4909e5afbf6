// SPDX-License-Identifier: MIT
//
// A loop with nothing but VMRESUME, to compare the world switch with.
//
//   void vmx_bare_loop(uint64_t count,     RDI
//                      uint64_t rewind)    RSI   where the guest goes on each time; 0: where it stands
//
// The guest of the current VMCS, which has been launched, shares the host's general registers and must
// leave them alone, all but RAX. Host RIP and host RSP are overwritten.
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
    vmresume
    ud2
.Lexit:
    testq %rsi, %rsi
    jz .Lnext
    movl $VMCS_GUEST_RIP, %eax
    vmwrite %rsi, %rax
.Lnext:
    decq %rdi
    jnz .Lagain
    ret
    .size vmx_bare_loop, . - vmx_bare_loop

    .section .note.GNU-stack, "", @progbits
