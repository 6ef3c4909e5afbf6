// SPDX-License-Identifier: MIT
// Entry points of all 256 vectors. Each pushes the vector, after a 0 where the CPU pushes no error
// code, and goes to one common part, which builds a TrapFrame (traps.hh) and calls handle_trap.
#include "kern/arch/x86_64/boot_constants.h"

    .section .text
    .global trap_stubs
    .balign 16
trap_stubs:
    vector = 0
    .rept 256
    .balign 16
    // The exceptions with an error code [amd/vol2 8.2]: #DF #TS #NP #SS #GP #PF #AC #CP #VC #SX
    .if !(vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21 || \
          vector == 29 || vector == 30)
    pushq $0
    .endif
    pushq $vector
    jmp common_trap
    vector = vector + 1
    .endr

    .balign 16
common_trap:
    testb $3, 24(%rsp)                 // CS, over vector, error code and RIP
    jnz trap_from_user
    // QEMU lets IRET of 32-bit code in ring 3 set VM, which no CPU in long mode has. CS is any
    // number then.
    testb $RFLAGS_VIRTUAL_8086 >> 16, 34(%rsp)
    jnz trap_from_user
    push %rax
    push %rcx
    push %rdx
    push %rbx
    push %rbp
    push %rsi
    push %rdi
    push %r8
    push %r9
    push %r10
    push %r11
    push %r12
    push %r13
    push %r14
    push %r15
    cld
    mov %rsp, %rdi
    call handle_trap
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %r11
    pop %r10
    pop %r9
    pop %r8
    pop %rdi
    pop %rsi
    pop %rbp
    pop %rbx
    pop %rdx
    pop %rcx
    pop %rax
    add $16, %rsp                      // vector and error code
    iretq
    .section .note.GNU-stack, "", @progbits
