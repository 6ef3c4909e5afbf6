// SPDX-License-Identifier: MIT
// Registers of the FPU and SSE belong to one virtual CPU at a time. Exits with 1 if a register is
// not as after a reset (somebody else's value shows), with 2 if one is lost while the host works,
// else with 0, and leaves all of them full for whoever comes next.
#include "guest/probes/probe.h"
#include "kern/arch/x86_numbers.h"

    probe_start
    mov $PHYSICAL_DATA(stack_top), %esp
    mov %cr0, %eax
    and $~(CR0_EM | CR0_TS), %eax
    or $CR0_MP, %eax
    mov %eax, %cr0
    mov %cr4, %eax
    or $CR4_OSFXSR, %eax
    mov %eax, %cr4

    .irp n, 0, 1, 2, 3, 4, 5, 6, 7
    movdqu %xmm\n, PHYSICAL_DATA(seen)
    call is_zero
    .endr
    stmxcsr PHYSICAL_DATA(seen)
    cmpl $0x1f80, PHYSICAL_DATA(seen)   // MXCSR after a reset
    jne foreign

    .irp n, 0, 1, 2, 3, 4, 5, 6, 7
    movdqu PHYSICAL_DATA(mine) + \n, %xmm\n
    .endr
    fninit
    fld1
    fldpi

    mov $200, %ebp                      // exits, in which the host may use these registers itself
1:  xor %eax, %eax
    cpuid
    dec %ebp
    jnz 1b

    .irp n, 0, 1, 2, 3, 4, 5, 6, 7
    movdqu %xmm\n, PHYSICAL_DATA(seen)
    mov $PHYSICAL_DATA(mine) + \n, %edi
    call is_mine
    .endr
    fldpi
    fcomip %st(1), %st
    jne lost
    exit_with $0
foreign:
    exit_with $1
lost:
    exit_with $2

is_zero:
    mov PHYSICAL_DATA(seen), %eax
    or PHYSICAL_DATA(seen) + 4, %eax
    or PHYSICAL_DATA(seen) + 8, %eax
    or PHYSICAL_DATA(seen) + 12, %eax
    jnz foreign
    ret
is_mine:
    mov $PHYSICAL_DATA(seen), %esi
    mov $4, %ecx
    repe cmpsl
    jne lost
    ret

    .section .data
    .balign 16
mine:
    .ascii "these sixteen-byte values are mine, and nobody else may see"
    .section .bss
    .balign 16
seen:
    .skip 16
    .skip 256
stack_top:
    .section .note.GNU-stack, "", @progbits
