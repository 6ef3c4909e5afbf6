// SPDX-License-Identifier: MIT
//
// The least kernel that QEMU can start by PVH: one byte on COM1, and power off. What a boot costs.

    .section .note.pvh, "a", @note
    .balign 4
    .long 4, 4, 18      // name, descriptor, XEN_ELFNOTE_PHYS32_ENTRY
    .asciz "Xen"
    .long entry

    .text
    .code32
    .global entry
entry:
    movw $0x3f8, %dx
    movb $'.', %al
    outb %al, %dx
    movl $0xf4, %edx
    xorl %eax, %eax
    outl %eax, %dx
1:  hlt
    jmp 1b

    .section .note.GNU-stack, "", @progbits
