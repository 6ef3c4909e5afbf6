// SPDX-License-Identifier: MIT
// What an application processor executes first. smp.cc copies this to TRAMPOLINE, fills the
// parameters and sends the start-up IPI; the CPU arrives in real mode at TRAMPOLINE_VECTOR:0000
// [amd/vol2 15.27.8, intel/vol3a 8.4]. It goes to long mode in one step: with PAE, the root and
// EFER.LME set, PE and PG may come together. The tables are the boot tables, which map this page
// where it is.
#include "kern/arch/x86_64/boot_constants.h"

#define HERE(symbol) (symbol - trampoline_begin + TRAMPOLINE)

    .section .rodata
    .balign 16
    .global trampoline_begin, trampoline_parameters, trampoline_end
trampoline_begin:
    .code16
    cli
    cld
    xor %ax, %ax
    mov %ax, %ds
    mov HERE(trampoline_root), %eax
    mov %eax, %cr3
    mov $CR4_PAE, %eax
    mov %eax, %cr4
    mov $MSR_EFER, %ecx
    rdmsr
    or $(EFER_LME | EFER_NXE), %eax
    wrmsr
    lgdtl HERE(trampoline_gdt_pointer)
    mov $CR0_KERNEL, %eax
    mov %eax, %cr0
    ljmpl $BOOT_CODE, $HERE(trampoline_long_mode)

    .code64
trampoline_long_mode:
    xor %eax, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    mov %eax, %fs
    mov %eax, %gs
    mov HERE(trampoline_cpu), %rdi
    mov HERE(trampoline_stack), %rsi
    mov HERE(trampoline_kernel_root), %rdx
    mov $leave_trampoline, %rax
    jmp *%rax

    .balign 8
trampoline_gdt:
    .quad 0
    .quad BOOT_CODE_DESCRIPTOR
trampoline_gdt_pointer:
    .word trampoline_gdt_pointer - trampoline_gdt - 1
    .long HERE(trampoline_gdt)
    .balign 8
trampoline_parameters:                 // struct TrampolineParameters in smp.cc
trampoline_root:        .quad 0
trampoline_kernel_root: .quad 0
trampoline_stack:       .quad 0
trampoline_cpu:         .quad 0
trampoline_end:

    // In the kernel's text, which both address spaces have at the same place; only the kernel's own
    // has the stack.
    .section .text
leave_trampoline:
    mov %rdx, %cr3
    mov %rsi, %rsp
    xor %ebp, %ebp                     // the end of every backtrace
    push %rbp                          // in place of a return address
    jmp start_application_processor
    .section .note.GNU-stack, "", @progbits
