// SPDX-License-Identifier: MIT
// What a fault of ring 3 costs at the least: handlers of a few instructions, which stand in the IDT
// while they are measured (soft_rows.cc).

    .text
// #GP: skips an instruction of one byte.
    .global bare_protection_fault
bare_protection_fault:
    add $8, %rsp                       // the error code
    incq (%rsp)
    iretq

// #PF: maps the page, in the table of level 1 at bare_table, to the one with this number behind
// bare_entry.
    .global bare_fill
bare_fill:
    push %rax
    push %rcx
    mov %cr2, %rax
    shr $12, %rax
    and $511, %rax
    mov %rax, %rcx
    shl $12, %rcx
    add bare_entry(%rip), %rcx
    shl $3, %rax
    add bare_table(%rip), %rax
    mov %rcx, (%rax)
    pop %rcx
    pop %rax
    add $8, %rsp
    iretq

// #PF: skips an instruction of two bytes.
    .global bare_skip
bare_skip:
    add $8, %rsp
    addq $2, (%rsp)
    iretq

    .bss
    .balign 8
    .global bare_table, bare_entry
bare_table:
    .skip 8
bare_entry:
    .skip 8
    .section .note.GNU-stack, "", @progbits
