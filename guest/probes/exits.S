// SPDX-License-Identifier: MIT
// A kernel for exits, in 64-bit mode: it executes one group of instructions that exit (`chosen`),
// with handlers that write down each fault, and leaves what it has found in `results` and `faults`.
// The harness fills in the group, the status at the end (`status`) and a text that it prints
// (`text`), and reads the rest from the guest's memory.
#include "guest/probes/probe.h"
#include "kern/arch/x86_numbers.h"

#define WINDOW 0x40000000                   // linear; its pages are entries of `window`
#define PAGE 4096
#define NO_MEMORY 0x30000000                // guest-physical
#define SELF 510                            // the entry of the root that leads to the root
#define SELF_MAP 0xffffff7fbfdfe000         // where the root is, through itself four times
#define TEXT_LENGTH 32
#define DEBUG_CONSOLE 0xe9
#define SCRATCH 0x3ff
#define MAX_FAULTS 8
#define CR3_WRITES 20
#define PAGE_FAULTS 5

#define EXIT 0                              // vmm/hypercall.hh
#define PRINT 1

    probe_start
    cld
    movl $(pdpt + PTE_PRESENT + PTE_WRITE), pml4
    movl $(pml4 + PTE_PRESENT + PTE_WRITE), pml4 + 8 * SELF
    movl $(page_directory + PTE_PRESENT + PTE_WRITE), pdpt
    movl $(window_directory + PTE_PRESENT + PTE_WRITE), pdpt + 8
    movl $(window + PTE_PRESENT + PTE_WRITE), window_directory
    mov $page_directory, %edi               // the first GiB, as it is
    mov $(PTE_LARGE + PTE_PRESENT + PTE_WRITE), %eax
1:  mov %eax, (%edi)
    add $8, %edi
    add $0x200000, %eax
    cmp $0x40000000, %eax
    jb 1b
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
    or $(CR0_PG + CR0_WP), %eax
    mov %eax, %cr0
    ljmp $8, $long_mode

    .code64
.macro gate vector, handler
    mov $\handler, %eax
    mov %ax, interrupt_table + 16 * \vector
    shr $16, %eax
    mov %ax, interrupt_table + 16 * \vector + 6
    movl $0x8e000008, interrupt_table + 16 * \vector + 2
.endm
.macro result index, from=%rax
    mov \from, results + 8 * \index
.endm
// Behind the next fault the guest goes on at \place; or where it was, if the entry is set by the
// handler.
.macro resume_at place
    movq $\place, resume
.endm
.macro mend number, value
    movq $(window + 8 * \number), mended_entry
    movq $(\value), mended_value
.endm
.macro map number, value
    movq $(\value), window + 8 * \number
.endm

long_mode:
    mov $stack_top, %esp
    gate 6, invalid_opcode
    gate 13, general_protection
    gate 14, page_fault
    lidt interrupt_table_pointer
    xor %eax, %eax
    cpuid
    cmp $0x756e6547, %ebx                   // "Genu" of "GenuineIntel"
    sete is_intel
    // The text lies on two pages that do not follow each other.
    mov $text, %esi
    mov $(second_buffer + PAGE - TEXT_LENGTH / 2), %edi
    mov $(TEXT_LENGTH / 2), %ecx
    rep movsb
    mov $first_buffer, %edi
    mov $(TEXT_LENGTH / 2), %ecx
    rep movsb
    map 0, second_buffer + PTE_PRESENT + PTE_WRITE
    map 1, first_buffer + PTE_PRESENT + PTE_WRITE
    mov $DEBUG_CONSOLE, %edx
    mov chosen, %eax
    jmp *groups(, %rax, 8)

// Ports that this machine does not have, and one that it has.
ports:
    movabs $0x1122334455667788, %rax
    mov $0x604, %edx
    out %ax, %dx
    in %dx, %ax
    result 0
    mov $0xcf8, %edx
    out %eax, %dx
    mov $0xcfc, %edx
    movabs $0x1122334455667788, %rax
    in %dx, %eax
    result 1
    movabs $0x1122334455667788, %rax
    in $0x92, %al
    result 2
    or $2, %al
    out %al, $0x92
    in $DEBUG_CONSOLE, %al
    result 3
    mov $DEBUG_CONSOLE, %edx
    mov $text, %esi
    mov $TEXT_LENGTH, %ecx
    rep outsb
    jmp finish

// A string over two pages, of which the second comes with the guest's own page fault.
strings:
    map 1, 0
    mend 1, first_buffer + PTE_PRESENT + PTE_WRITE
    mov $(WINDOW + PAGE - TEXT_LENGTH / 2), %esi
    mov $TEXT_LENGTH, %ecx
at_string:
    rep outsb
    result 0, %rsi
    result 1, %rcx
    movq $at_string, results + 8 * 2
    mov window + 8, %rax
    result 3
    jmp finish

// INS into a page that is read-only; without WP it may.
read_only:
    map 2, first_buffer + PTE_PRESENT
    resume_at 1f
    mov $(WINDOW + 2 * PAGE), %edi
    mov $4, %ecx
    rep insb
1:  mov first_buffer, %rax
    result 0
    mov %cr0, %rax
    btr $16, %rax
    mov %rax, %cr0
    rep insb
    mov first_buffer, %rax
    result 1
    jmp finish

// As long as an instruction can be: 32-bit addresses and FS.
long_instruction:
    mov $MSR_FS_BASE, %ecx
    mov $0x1000, %eax
    xor %edx, %edx
    wrmsr
    mov $DEBUG_CONSOLE, %edx
    mov $TEXT_LENGTH, %ecx
    movabs $0xffffffff00000000, %rsi
    or %rsi, %rcx
    add $(text - 0x1000), %rsi
    .byte 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x64, 0x67, 0xf3, 0x48, 0x6e
    result 0, %rsi
    result 1, %rcx
    // And CPUID.
    xor %eax, %eax
    .byte 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x0f, 0xa2
    result 2, %rbx
    jmp finish

// An instruction on two pages, of which the second is not there.
two_pages:
    map 4, second_buffer + PTE_PRESENT + PTE_WRITE
    map 5, 0
    mend 5, third_buffer + PTE_PRESENT + PTE_WRITE
    movb $0xf3, second_buffer + PAGE - 1    // rep
    movw $0xc36e, third_buffer              // outsb; ret
    mov $text, %esi
    mov $TEXT_LENGTH, %ecx
    mov $(WINDOW + 5 * PAGE - 1), %eax
    call *%rax
    result 0, %rcx
    jmp finish

// The root of the tables is one of its own tables, at each level.
self_map:
    movabs $(SELF_MAP + 8 * SELF), %rsi
    mov $SCRATCH, %edx
    mov $1, %ecx
    rep outsb
    in %dx, %al
    result 0
    mov pml4 + 8 * SELF, %rax
    result 1
    mov $PRINT, %eax
    movabs $SELF_MAP, %rbx
    mov $8, %ecx
    call hypercall
    result 2
    jmp finish

// OUTS from where no memory is.
nothing:
    map 6, NO_MEMORY + PTE_PRESENT + PTE_WRITE
    mov $(WINDOW + 6 * PAGE), %esi
    mov $3, %ecx
at_nothing:
    rep outsb
    jmp finish

// What the host is asked to print: over the end of memory, from nowhere, and what is there.
calls:
    map 5, first_buffer + PTE_PRESENT + PTE_WRITE
    map 6, NO_MEMORY + PTE_PRESENT + PTE_WRITE
    mov $PRINT, %eax
    mov $(WINDOW + 6 * PAGE - 4), %ebx
    mov $8, %ecx
    call hypercall
    result 0
    mov $PRINT, %eax
    mov $(WINDOW + 7 * PAGE), %ebx
    call hypercall
    result 1
    mov $PRINT, %eax
    movabs $0x800000000000, %rbx
    call hypercall
    result 2
    mov $77, %eax
    call hypercall
    result 3
    mov $PRINT, %eax
    mov $(WINDOW + PAGE - TEXT_LENGTH / 2), %ebx
    mov $TEXT_LENGTH, %ecx
    call hypercall
    result 4
    jmp finish

// MSRs that are refused, and one that is not.
msrs:
    resume_at 1f
    movabs $0x1122334455667788, %rax
    mov $0x1234, %ecx
    rdmsr
1:  resume_at 2f
    mov $MSR_EFER, %ecx
    rdmsr
    mov %rax, %r8
    or $0x1000, %eax                        // SVME, or reserved
    wrmsr
2:  rdmsr
    xor %r8, %rax
    result 0
    mov $MSR_LSTAR, %ecx
    mov status, %rax
    mov $0x7fff, %edx
    wrmsr
    movabs $0x1122334455667788, %rax
    mov %rax, %rdx
    rdmsr
    result 1
    result 2, %rdx
    jmp finish

// CPUID with something in the upper halves.
identity:
    movabs $0xffffffff00000001, %rax
    mov %rax, %rbx
    mov %rax, %rcx
    mov %rax, %rdx
    cpuid
    result 0
    result 1, %rbx
    result 2, %rcx
    result 3, %rdx
    mov $0x4fffffff, %eax                   // beyond the end
    xor %ecx, %ecx
    cpuid
    or %rbx, %rax
    or %rcx, %rax
    or %rdx, %rax
    result 4
    jmp finish

// What exits only if the host asks for it: CR3 is written, and pages are not there.
paging:
    mov $CR3_WRITES, %r9d
1:  mov %cr3, %rax
    mov %rax, %cr3
    dec %r9d
    jnz 1b
    map 7, 0
    mov $PAGE_FAULTS, %r9d
    resume_at 2f
1:  movb $1, WINDOW + 7 * PAGE + 0x123
2:  dec %r9d
    jnz 1b
    jmp finish

finish:
    mov fault_count, %eax
    result 7
    mov $EXIT, %eax
    mov status, %rbx
    call hypercall
hypercall:
    mov $HYPERCALL_SIGNATURE, %edx
    cmpb $0, is_intel
    jne 1f
    vmmcall
    ret
1:  vmcall
    ret

invalid_opcode:
    push $0
    push $6
    jmp fault
general_protection:
    push $13
    jmp fault
page_fault:
    push $14
// RSP: RBX, RAX, the vector, the error code, RIP.
fault:
    push %rax
    push %rbx
    mov fault_count, %ebx
    cmp $MAX_FAULTS, %ebx
    jae finish
    incl fault_count
    shl $6, %ebx
    add $faults, %ebx
    mov 16(%rsp), %rax
    mov %rax, (%rbx)
    mov 24(%rsp), %rax
    mov %rax, 8(%rbx)
    mov %cr2, %rax
    mov %rax, 16(%rbx)
    mov 32(%rsp), %rax
    mov %rax, 24(%rbx)
    mov %rcx, 32(%rbx)
    mov %rsi, 40(%rbx)
    mov %rdi, 48(%rbx)
    mov 8(%rsp), %rax
    mov %rax, 56(%rbx)
    mov mended_entry, %rax
    test %rax, %rax
    jz 1f
    mov mended_value, %rbx
    mov %rbx, (%rax)
    movq $0, mended_entry
    jmp 2f
1:  mov resume, %rax
    test %rax, %rax
    jz finish
    mov %rax, 32(%rsp)
2:  pop %rbx
    pop %rax
    add $16, %rsp
    iretq

    .section .rodata
    .balign 8
groups:
    .quad ports, strings, read_only, long_instruction, two_pages, self_map, nothing, calls, msrs, identity
    .quad paging
descriptor_table:
    .quad 0
    .quad 0x00209b0000000000                // 64 bits, execute; bit 40: the CPU need not set it itself
    .quad 0x00cf93000000ffff                // what SS is from the start, and IRETQ loads again
descriptor_table_end:
descriptor_table_pointer:
    .word descriptor_table_end - descriptor_table - 1
    .long descriptor_table
interrupt_table_pointer:
    .word 16 * 16 - 1
    .quad interrupt_table

.macro object name, size
    .global \name
    .type \name, @object
    .size \name, \size
\name:
    .skip \size
.endm
    // What the harness fills in.
    .section .data
    .balign 8
    object chosen, 8
    object status, 8
    object text, TEXT_LENGTH

    .section .bss
    .balign 4096
pml4:
    .skip PAGE
pdpt:
    .skip PAGE
page_directory:
    .skip PAGE
window_directory:
    .skip PAGE
window:
    .skip PAGE
first_buffer:
    .skip PAGE
second_buffer:
    .skip PAGE
third_buffer:
    .skip PAGE
interrupt_table:
    .skip 16 * 16
    object results, 64
    object faults, (64*MAX_FAULTS)
fault_count:
    .skip 8
resume:
    .skip 8
mended_entry:
    .skip 8
mended_value:
    .skip 8
is_intel:
    .skip 8
    .skip 1024
    .balign 16
stack_top:
    .section .note.GNU-stack, "", @progbits
