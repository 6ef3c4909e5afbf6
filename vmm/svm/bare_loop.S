// SPDX-License-Identifier: MIT
//
// A loop with nothing but VMRUN, to compare the world switch with.
//
//   void svm_bare_loop(uint64_t vmcb,     RDI   physical
//                      uint64_t* rip,     RSI   the VMCB's RIP, or a place that nobody reads
//                      uint64_t count)    RDX
//
// The guest shares the host's general registers and must leave them alone, all but RAX.

    .text
    .global svm_bare_loop
    .type svm_bare_loop, @function
svm_bare_loop:
    movq %rdi, %rax
    movq (%rsi), %rcx
    clgi
1:  vmrun %rax
    movq %rcx, (%rsi)
    decq %rdx
    jnz 1b
    stgi
    ret
    .size svm_bare_loop, . - svm_bare_loop

    .section .note.GNU-stack, "", @progbits
