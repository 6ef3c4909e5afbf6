// SPDX-License-Identifier: MIT
    .text
    .global enter_user
    .type enter_user, @function
enter_user:
    mov %rdi, %rsp
    pop %rax
    pop %rcx
    pop %rdx
    pop %rbx
    pop %rbp
    pop %rsi
    pop %rdi
    pop %r8
    pop %r9
    pop %r10
    pop %r11
    pop %r12
    pop %r13
    pop %r14
    pop %r15
    add $16, %rsp                      // vector and error code
    swapgs
    iretq
    .size enter_user, . - enter_user

    .section .note.GNU-stack, "", @progbits
