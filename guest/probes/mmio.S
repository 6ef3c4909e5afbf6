// SPDX-License-Identifier: MIT
// Accesses devices in memory. The harness fills in what is to be done (the symbol mmio_case, a
// number from the list below) and numbers of this run (mmio_numbers, mmio_text), and reads what the
// guest found (mmio_results). It exits with 77.
//
// The console's registers (vmm/devices/mmio_console.hh) are at 0xfe000000, guest-physical; where
// there are page tables, they are at CONSOLE, and code that lies on two pages is at CODE: page_x
// and page_y behind it, which is before page_x in memory.

#include "guest/probes/probe.h"
#include "kern/arch/x86_numbers.h"

#define CASE_FORMS 0            // all forms of instructions that there are, in 64-bit code
#define CASE_TWO_LEVELS 1       // an instruction on two pages, by the guest's own tables
#define CASE_THREE_LEVELS 2
#define CASE_FOUR_LEVELS 3
#define CASE_UNKNOWN 4          // an instruction that nobody decodes
#define CASE_TABLES 5           // the page tables are in a device
#define CASE_EVENT 6            // the stack of an exception is in a device
#define CASE_FETCH 7            // code is in a device
#define CASE_REFUSED 8          // a register is accessed by the wrong size
#define CASE_TIME_MEMORY 9      // ACCESSES loads of the console's status, for `nest bench`
#define CASE_TIME_PORTS 10      // as many INs of a serial port's status
#define ACCESSES 4000           // vmm/bench/guests.hh
#define COM1_LINE_STATUS 0x3fd

#define DEVICE 0xfe000000
#define IO_APIC 0xfec00000
#define CONSOLE 0x50000000
#define CODE 0x60000000
#define SCRATCH 0x10
#define LINKED_AT 0x200000
#define SPLIT 3                 // bytes of the instruction on the first page
#define FLAGS_TRAP 0x100

#define SMALL (PTE_PRESENT + PTE_WRITE)
#define LARGE (PTE_PRESENT + PTE_WRITE + PTE_LARGE)

    .section .text
    .code32
    .balign 8
text_begin:
    .long MULTIBOOT2_MAGIC, 0, 24, -(MULTIBOOT2_MAGIC + 24)
    .word 0, 0
    .long 8
    .global start
start:
    mov $stack_top, %esp
    mov $DEVICE, %ebx
    // An instruction on two pages, with this run's number: movl $number, SCRATCH(%ebx); ret
    movw $0x43c7, page_x + 4096 - SPLIT
    movb $SCRATCH, page_x + 4096 - SPLIT + 2
    mov mmio_numbers, %eax
    mov %eax, page_y
    movb $0xc3, page_y + 4
    mov mmio_case, %eax
    cmp $CASE_FORMS, %eax
    je to_long_mode
    cmp $CASE_TWO_LEVELS, %eax
    je two_levels
    cmp $CASE_THREE_LEVELS, %eax
    je three_levels
    cmp $CASE_FOUR_LEVELS, %eax
    je to_long_mode
    cmp $CASE_TIME_MEMORY, %eax
    jae to_long_mode
    cmp $CASE_UNKNOWN, %eax
    je unknown
    cmp $CASE_TABLES, %eax
    je tables_in_a_device
    cmp $CASE_EVENT, %eax
    je stack_in_a_device
    cmp $CASE_REFUSED, %eax
    je refused
    mov $DEVICE, %eax
    jmp *%eax

unknown:
    mov mmio_numbers, %eax      // addl $number, SCRATCH(%ebx): there is no ADD
    mov %eax, 1f + 3
1:  addl $0x11223344, SCRATCH(%ebx)
    exit_with $1

refused:
    mov 9(%ebx), %al            // the second byte of the status
    exit_with $1

tables_in_a_device:
    mov $IO_APIC, %eax
    mov %eax, %cr3
    mov %cr0, %eax
    or $CR0_PG, %eax
    mov %eax, %cr0
    exit_with $1

    // The #DB of a step comes when the next instruction is a store into the device.
stack_in_a_device:
    lgdt descriptor_table_pointer
    ljmp $16, $1f
1:  lidt interrupt_table_pointer
    pushf
    orl $FLAGS_TRAP, (%esp)
    popf
    mov $DEVICE + SCRATCH + 8, %esp
    mov %eax, SCRATCH(%ebx)
    exit_with $1
handler:
    exit_with $2

two_levels:
    movl $LARGE, directory
    movl $0x400000 + LARGE, directory + 4
    movl $DEVICE + LARGE, directory + (CONSOLE >> 22) * 4
    movl $page_table + SMALL, directory + (CODE >> 22) * 4
    movl $page_x + SMALL, page_table
    movl $page_y + SMALL, page_table + 4
    mov $directory, %eax
    mov $CR4_PSE, %ecx
    call turn_paging_on
    jmp store_over_the_bound

    // With 8-byte entries: the first GiB has this program, the second one CONSOLE and CODE.
make_tables:
    movl $LARGE, directory
    movl $0x200000 + LARGE, directory + 8
    movl $0x400000 + LARGE, directory + 16
    movl $DEVICE + LARGE, second_directory + ((CONSOLE >> 21) & 0x1ff) * 8
    movl $page_table + SMALL, second_directory + ((CODE >> 21) & 0x1ff) * 8
    movl $page_x + SMALL, page_table
    movl $page_y + SMALL, page_table + 8
    ret

three_levels:
    call make_tables
    movl $directory + PTE_PRESENT, pdpt
    movl $second_directory + PTE_PRESENT, pdpt + 8
    mov $pdpt, %eax
    mov $CR4_PAE, %ecx
    call turn_paging_on
store_over_the_bound:
    mov $CONSOLE, %ebx
    mov $CODE + 4096 - SPLIT, %eax
    call *%eax
    mov SCRATCH(%ebx), %eax
    mov %eax, mmio_results
    exit_with $77

    // EAX: the root; ECX: bits of CR4.
turn_paging_on:
    mov %eax, %cr3
    mov %cr4, %eax
    or %ecx, %eax
    mov %eax, %cr4
    mov %cr0, %eax
    or $CR0_PG, %eax
    mov %eax, %cr0
    ret

to_long_mode:
    call make_tables
    movl $directory + SMALL, pdpt
    movl $second_directory + SMALL, pdpt + 8
    movl $pdpt + SMALL, pml4
    mov $MSR_EFER, %ecx
    rdmsr
    or $EFER_LME, %eax
    wrmsr
    mov $pml4, %eax
    mov $CR4_PAE, %ecx
    call turn_paging_on
    lgdt descriptor_table_pointer
    ljmp $8, $long_mode

    .code64
long_mode:
    mov $stack_top, %esp
    mov $CONSOLE, %ebx
    cmpl $CASE_FORMS, mmio_case
    je forms
    mov $ACCESSES, %ecx
    mov $COM1_LINE_STATUS, %edx
    cmpl $CASE_TIME_MEMORY, mmio_case
    je time_memory
    ja time_ports
    mov $CODE + 4096 - SPLIT, %eax
    call *%rax
    mov SCRATCH(%rbx), %eax
    mov %eax, mmio_results
    exit_with $77

time_memory:
    mov 8(%rbx), %eax
    dec %ecx
    jnz time_memory
    exit_with $77
time_ports:
    in %dx, %al
    dec %ecx
    jnz time_ports
    exit_with $77

    // Notes a register, and with `flags` the six flags of arithmetic, 16 bytes; R15 is where.
    .macro note register
    pushf
    pop %r14
    mov \register, (%r15)
    and $0x8d5, %r14d
    mov %r14, 8(%r15)
    add $16, %r15
    .endm
    // Number n into a register.
    .macro number n, register
    mov mmio_numbers + 8 * \n, \register
    .endm
    // All of the scratch register.
    .macro note_scratch
    mov SCRATCH(%rbx), %r13
    note %r13
    .endm
    .set console_scratch, CONSOLE + SCRATCH

forms:
    mov $mmio_results, %r15d
    number 0, %rax
    mov %rax, SCRATCH(%rbx)
    note_scratch
    // Loads.
    number 1, %rcx
    mov SCRATCH(%rbx), %cl
    note %rcx
    number 1, %rcx
    mov SCRATCH + 1(%rbx), %ch
    note %rcx
    number 1, %rcx
    mov SCRATCH + 2(%rbx), %cx
    note %rcx
    number 1, %rcx
    mov SCRATCH + 4(%rbx), %ecx
    note %rcx
    // MOV R9, memory by RIP. The assembler counts from labels only: this file is linked at
    // LINKED_AT.
    .byte 0x4c, 0x8b, 0x0d
    .long CONSOLE + SCRATCH - LINKED_AT - (1f - text_begin)
1:
    note %r9
    movabs console_scratch, %eax
    note %rax
    movzbl SCRATCH + 3(%rbx), %ecx
    note %rcx
    movzwl SCRATCH + 6(%rbx), %ecx
    note %rcx
    movsbq SCRATCH + 5(%rbx), %rcx
    note %rcx
    movswl SCRATCH + 2(%rbx), %ecx
    note %rcx
    movslq SCRATCH + 4(%rbx), %rcx
    note %rcx
    // Stores.
    number 2, %rbp
    mov %bpl, SCRATCH(%rbx)
    note_scratch
    mov %rbp, %rdx
    mov %dh, SCRATCH + 7(%rbx)
    note_scratch
    mov %bp, SCRATCH + 2(%rbx)
    note_scratch
    mov %ebp, SCRATCH + 4(%rbx)
    note_scratch
    movb $0x5a, SCRATCH + 1(%rbx)
    note_scratch
    movw $0x1234, SCRATCH + 4(%rbx)
    note_scratch
    movq $-0x12345678, SCRATCH(%rbx)
    note_scratch
    // AND, OR, XOR.
    number 3, %rcx
    xor %rcx, SCRATCH(%rbx)
    note_scratch
    number 4, %rdx
    and %edx, SCRATCH(%rbx)
    note %rdx
    note_scratch
    orw $0x8001, SCRATCH + 6(%rbx)
    note_scratch
    number 5, %rdx
    and SCRATCH(%rbx), %rdx
    note %rdx
    number 6, %rdx
    xor SCRATCH + 4(%rbx), %dl
    note %rdx
    // CMP and TEST.
    number 7, %rdx
    cmp %rdx, SCRATCH(%rbx)
    note %rdx
    cmp SCRATCH(%rbx), %edx
    note %rdx
    cmpb $-1, SCRATCH + 2(%rbx)
    note %rdx
    test %dx, SCRATCH(%rbx)
    note %rdx
    testl $0x80, SCRATCH + 4(%rbx)
    note %rdx
    // XCHG.
    number 8, %rdx
    xchg %rdx, SCRATCH(%rbx)
    note %rdx
    note_scratch
    // STOS.
    number 9, %rax
    lea SCRATCH(%rbx), %rdi
    mov $2, %ecx
    rep stosl
    note %rdi
    note %rcx
    note_scratch
    number 10, %rax
    lea SCRATCH + 7(%rbx), %rdi
    mov $3, %ecx
    std
    rep stosb
    cld
    note %rdi
    note_scratch
    // The console: 1, 2, 4 and 8 letters of this run, by each size.
    mov mmio_text, %al
    mov %al, (%rbx)
    mov mmio_text + 1, %ax
    mov %ax, (%rbx)
    mov mmio_text + 3, %eax
    mov %eax, (%rbx)
    mov mmio_text + 7, %rax
    mov %rax, (%rbx)
    movb $'\n', (%rbx)
    mov 8(%rbx), %eax
    note %rax
    exit_with $77

    .section .rodata
    .balign 8
descriptor_table:
    .quad 0
    .quad 0x00209b0000000000                // 64 bits, execute
    .quad 0x00cf9b000000ffff                // 32 bits, execute, flat
descriptor_table_end:
descriptor_table_pointer:
    .word descriptor_table_end - descriptor_table - 1
    .long descriptor_table

    .section .data
    .balign 4096
    .global mmio_case, mmio_numbers, mmio_text, mmio_results
    .type mmio_case, @object
    .size mmio_case, 8
mmio_case:
    .quad CASE_FETCH
    .type mmio_numbers, @object
    .size mmio_numbers, 16 * 8
mmio_numbers:
    .skip 16 * 8
    .type mmio_text, @object
    .size mmio_text, 16
mmio_text:
    .skip 16
interrupt_table:
    .quad 0
interrupt_gate:
    // A 32-bit interrupt gate of vector 1; the handler is below 2^24, and its address is put
    // together here.
    .word handler - LINKED_AT, 16, 0x8e00, 0x20
interrupt_table_end:
interrupt_table_pointer:
    .word interrupt_table_end - interrupt_table - 1
    .long interrupt_table

    .section .bss
    .balign 4096
pml4:
    .skip 4096
pdpt:
    .skip 4096
directory:
    .skip 4096
second_directory:
    .skip 4096
page_table:
    .skip 4096
page_y:
    .skip 4096
    .skip 4096
page_x:
    .skip 4096
    .type mmio_results, @object
    .size mmio_results, 4096
mmio_results:
    .skip 4096
    .skip 4096
stack_top:
    .section .note.GNU-stack, "", @progbits
