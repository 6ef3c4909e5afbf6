// SPDX-License-Identifier: MIT
// Leaves the guest and comes back, again and again, each time with other values in all registers.
// The harness makes the values from the run's nonce (the symbol round_trip_wanted), reads what the
// guest found after each return (round_trip_seen), and compares: a register that a world switch
// loses, mixes up or changes shows with its name and round.
//
// A round: the MSRs that nobody but the world switch keeps apart (FS and GS base, those of SYSCALL
// and SYSENTER), the sixteen general registers and the harmless flags get their values; OUT to a
// port without a device leaves the guest and changes no register; then all are stored. The stores
// and loads between are MOVs to fixed addresses, which need no register and change no flag.
//
// Entered by the boot sector: 32-bit protected mode without paging. The general registers have 64
// bits in long mode only, so it goes there first.

#include "kern/arch/x86_numbers.h"

#define ROUNDS 1024
#define VALUES 27                           // 16 registers, in the order of their numbers, flags, MSRs
#define ROW (VALUES * 8)
#define FLAGS 0x2408d5                      // CF, PF, AF, ZF, SF, OF, AC, ID; DF and IF would be in the way
#define FLAGS_SLOT 128
#define MSR_SLOTS 136
#define CANONICAL 0x7fffffffffff
#define POST_PORT 0x80                      // the host takes writes to it, and does nothing

#define EXIT_STATUS 77
#define HYPERCALL_SIGNATURE 0x7473654e      // "Nest"

    .section .text
    .code32
    .global start
start:
    // Identity map of the first 4 MiB, by two large pages.
    movl $(pdpt + PTE_PRESENT + PTE_WRITE), pml4
    movl $(page_directory + PTE_PRESENT + PTE_WRITE), pdpt
    movl $(PTE_LARGE + PTE_PRESENT + PTE_WRITE), page_directory
    movl $(0x200000 + PTE_LARGE + PTE_PRESENT + PTE_WRITE), page_directory + 8
    mov $pml4, %eax
    mov %eax, %cr3
    mov %cr4, %eax
    or $CR4_PAE, %eax
    mov %eax, %cr4
    mov $MSR_EFER, %ecx
    rdmsr
    or $EFER_LME, %eax
    wrmsr
    lgdt descriptor_table_pointer
    mov %cr0, %eax
    or $CR0_PG, %eax
    mov %eax, %cr0
    ljmp $8, $long_mode

    .code64
long_mode:
    movl $0, round
next_round:
    mov $stack_top, %rsp
    // The row of this round, to the fixed place.
    imul $ROW, round, %esi
    add $round_trip_wanted, %rsi
    mov $row, %edi
    mov $VALUES, %ecx
    rep movsq

    mov $msrs, %esi
    mov $(row + MSR_SLOTS), %edi
1:  mov (%rsi), %ecx
    mov (%rdi), %rax
    and 8(%rsi), %rax
    mov %rax, %rdx
    shr $32, %rdx
    wrmsr
    add $16, %esi
    add $8, %edi
    cmp $msrs_end, %esi
    jb 1b
    movl row + FLAGS_SLOT, %eax
    and $FLAGS, %eax
    or $2, %eax                             // the bit that is always one
    push %rax
    popf
    movq row + 0, %rax
    movq row + 8, %rcx
    movq row + 16, %rdx
    movq row + 24, %rbx
    movq row + 32, %rsp
    movq row + 40, %rbp
    movq row + 48, %rsi
    movq row + 56, %rdi
    movq row + 64, %r8
    movq row + 72, %r9
    movq row + 80, %r10
    movq row + 88, %r11
    movq row + 96, %r12
    movq row + 104, %r13
    movq row + 112, %r14
    movq row + 120, %r15
    out %al, $POST_PORT                     // out, and in again
    movq %rax, row + 0
    movq %rcx, row + 8
    movq %rdx, row + 16
    movq %rbx, row + 24
    movq %rsp, row + 32
    movq %rbp, row + 40
    movq %rsi, row + 48
    movq %rdi, row + 56
    movq %r8, row + 64
    movq %r9, row + 72
    movq %r10, row + 80
    movq %r11, row + 88
    movq %r12, row + 96
    movq %r13, row + 104
    movq %r14, row + 112
    movq %r15, row + 120
    mov $stack_top, %esp
    pushf
    popq row + FLAGS_SLOT

    mov $msrs, %esi
    mov $(row + MSR_SLOTS), %edi
1:  mov (%rsi), %ecx
    rdmsr
    mov %eax, (%rdi)
    mov %edx, 4(%rdi)
    add $16, %esi
    add $8, %edi
    cmp $msrs_end, %esi
    jb 1b

    mov $row, %esi
    imul $ROW, round, %edi
    add $round_trip_seen, %rdi
    mov $VALUES, %ecx
    rep movsq
    incl round
    cmpl $ROUNDS, round
    jb next_round

    // An exit that the host answers in RAX, all of it: CPUID clears the upper half.
    movabs $0xffffffff00000000, %rax
    cpuid
    movq %rax, round_trip_answer
    // The end: the hypercall exit (vmm/hypercall.hh), in the words of this CPU's vendor.
    mov %ebx, %esi
    xor %eax, %eax
    mov $EXIT_STATUS, %ebx
    mov $HYPERCALL_SIGNATURE, %edx
    cmp $0x756e6547, %esi                   // "Genu"
    je 1f
    vmmcall
    jmp 2f
1:  vmcall
2:  hlt
    jmp 2b

    .section .rodata
    .balign 8
    // Number, and which bits of a random value may be put there.
msrs:
    .quad MSR_SYSENTER_CS, 0xffff
    .quad MSR_SYSENTER_ESP, CANONICAL
    .quad MSR_SYSENTER_EIP, CANONICAL
    .quad MSR_STAR, ~0
    .quad MSR_LSTAR, CANONICAL
    .quad MSR_CSTAR, CANONICAL
    .quad MSR_SFMASK, 0xffffffff
    .quad MSR_FS_BASE, CANONICAL
    .quad MSR_GS_BASE, CANONICAL
    .quad MSR_KERNEL_GS_BASE, CANONICAL
msrs_end:
descriptor_table:
    .quad 0
    .quad 0x00209b0000000000                // 64 bits, execute; bit 40: the CPU need not set it itself
descriptor_table_end:
descriptor_table_pointer:
    .word descriptor_table_end - descriptor_table - 1
    .long descriptor_table

    // What the harness fills in.
    .section .data
    .balign 4096
    .global round_trip_wanted, round_trip_seen, round_trip_answer, round
    .type round_trip_wanted, @object
    .size round_trip_wanted, ROUNDS * ROW
round_trip_wanted:
    .skip ROUNDS * ROW

    .section .bss
    .balign 4096
pml4:
    .skip 4096
pdpt:
    .skip 4096
page_directory:
    .skip 4096
row:
    .skip ROW
    .balign 8
    .type round, @object
    .size round, 8
round:
    .skip 8
    .type round_trip_answer, @object
    .size round_trip_answer, 8
round_trip_answer:
    .skip 8
    .skip 256
stack_top:
    .balign 4096
    .type round_trip_seen, @object
    .size round_trip_seen, ROUNDS * ROW
round_trip_seen:
    .skip ROUNDS * ROW
    .section .note.GNU-stack, "", @progbits
