// SPDX-License-Identifier: MIT
    .text
    .global enter_user
    .type enter_user, @function
enter_user:
    lea 1f+2(%rip), %rax
    jmp *%rax
1:  movabs $0x90909090f4fa9090, %rcx
    ret
    .size enter_user, . - enter_user
    .section .note.GNU-stack, "", @progbits
