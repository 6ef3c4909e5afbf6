// SPDX-License-Identifier: MIT
// vmm/hypercall.hh: RAX is the number (exit is 0), RBX the argument.
    .text
    .global exit_guest
exit_guest:
    mov %rdi, %rbx
    xor %eax, %eax
    vmmcall
1:  hlt                                 // a host that does not know the hypercall
    jmp 1b
    .section .note.GNU-stack, "", @progbits
