// SPDX-License-Identifier: MIT
    .text
    .global enter_user
    .type enter_user, @function
enter_user:
    mov %rdi, %rsp
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
    add $16, %rsp
    swapgs
    iretq
    .size enter_user, . - enter_user

    .section .note.GNU-stack, "", @progbits
    .section .boot, "ax"
    nop
