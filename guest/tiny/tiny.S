// SPDX-License-Identifier: MIT
// A small kernel of 32 bits for lab 6: flat segments, two levels of page tables, two programs that
// take turns by a system call. It runs unpatched wherever a CPU of its own, or a hypervisor's,
// executes it.
//
// At its end it exits with a number (guest/probes/probe.h) into which everything goes that it has
// seen: what its programs computed from their seeds, the addresses and error codes of their faults,
// what a page shows that is remapped at each call, and IF behind each POPF. grader/testkit/tiny.py
// works the same number out from the seeds alone.
#include "guest/probes/probe.h"
#include "guest/tiny/tiny.h"

// An instruction that ring 3 executes without a trap, and its entry in the note section: what
// vmm/soft/rewrite_sensitive.hh calls a SiteNote.
.macro sensitive kind, instruction:vararg
.Lsite\@:
    \instruction
    .pushsection .note.nestling, "a", @note
    .long .Lsite\@, \kind
    .popsection
.endm
#define SITE_PUSHF 1
#define SITE_POPF 2

// digest = (digest ^ value) * PRIME, modulo 2^32. EAX and EDX change.
.macro mix value
    mov \value, %eax
    xor digest, %eax
    mov $PRIME, %edx
    mul %edx
    mov %eax, digest
.endm

    .section .note.nestling, "a", @note
    .long 9, 8, NOTE_CODE               // nothing in .text but the kernel's instructions
    .asciz "Nestling"
    .balign 4
    .long code_begin, code_end
    .long 9, note_end - note_begin, NOTE_SITES
    .asciz "Nestling"
    .balign 4
note_begin:

    multiboot2_begin
    multiboot2_end
    cmp $0x36d76289, %eax
    jne never
    mov $kernel_stack_0 - 256, %esp     // below the frame that is made there
    lgdt gdt_pointer
    ljmp $KERNEL_CODE, $1f
1:  mov $KERNEL_DATA, %eax
    mov %eax, %ss
    mov $USER_DATA, %eax
    mov %eax, %ds
    mov %eax, %es
    mov $tss, %eax
    mov %ax, tss_descriptor + 2
    shr $16, %eax
    mov %al, tss_descriptor + 4
    movl $KERNEL_DATA, tss + 8
    call fill_gates
    lidt idt_pointer
    mov $TSS_SELECTOR, %eax
    ltr %ax
    call fill_tables
    mov $directory_0, %eax
    mov %eax, %cr3
    mov %cr0, %eax
    or $0x80010000, %eax                // PG and WP
    mov %eax, %cr0
    // The first frame of each program, as an interrupt would have left it.
    mov $kernel_stack_0, %esi
    call first_frame
    mov %edi, saved_esp
    mov $kernel_stack_1, %esi
    call first_frame
    mov %edi, saved_esp + 4
    xor %ecx, %ecx
    jmp switch_to

// EDI = the stack pointer for a program that has not begun; its stack ends at ESI.
first_frame:
    lea -52(%esi), %edi
    movl $PROGRAM, 32(%edi)
    movl $USER_CODE, 36(%edi)
    movl $0x202, 40(%edi)
    movl $PROGRAM_STACK, 44(%edi)
    movl $USER_DATA, 48(%edi)
    ret

// Gates: \#GP, \#PF, and the system call.
fill_gates:
    mov $13, %ebx
    mov $protection_fault, %eax
    mov $0x8e00, %ecx
    call fill_gate
    mov $14, %ebx
    mov $page_fault, %eax
    call fill_gate
    mov $SYSTEM_CALL, %ebx
    mov $system_call, %eax
    mov $0xee00, %ecx
// Gate EBX leads to EAX, with type and DPL of ECX.
fill_gate:
    mov %ax, idt(, %ebx, 8)
    movw $KERNEL_CODE, idt + 2(, %ebx, 8)
    mov %cx, idt + 4(, %ebx, 8)
    shr $16, %eax
    mov %ax, idt + 6(, %ebx, 8)
    ret

// The first 4 MiB are the kernel's, at the same addresses; at PROGRAM each program has pages of its
// own.
fill_tables:
    xor %ecx, %ecx
1:  mov %ecx, %eax
    shl $12, %eax
    or $3, %eax
    mov %eax, low_table(, %ecx, 4)
    inc %ecx
    cmp $1024, %ecx
    jb 1b
    movl $low_table + 7, directory_0
    movl $low_table + 7, directory_1
    movl $table_0 + 7, directory_0 + PROGRAM / 0x400000 * 4
    movl $table_1 + 7, directory_1 + PROGRAM / 0x400000 * 4
    movl $program_0 + 5, table_0        // read-only, for programs
    movl $program_1 + 5, table_1
    movl $data_0 + 7, table_0 + 4
    movl $data_1 + 7, table_1 + 4
    ret

// ECX is the program that runs next.
switch_to:
    mov %ecx, current
    mov saved_esp(, %ecx, 4), %esp
    mov directories(, %ecx, 4), %eax
    mov %eax, %cr3
    mov stack_tops(, %ecx, 4), %eax
    mov %eax, tss + 4
    popal
    iret

system_call:
    pushal
    cmp $CALL_END, %eax
    je program_ends
    mix %ebx                            // what the program has computed
    incl calls
    mov calls, %eax
    mov %eax, 28(%esp)                  // its EAX: the answer
    // A critical section, as kernels write it: IF is 0 inside, and 1 again behind POPF.
    sti
    sensitive SITE_PUSHF, pushfl
    cli
    sensitive SITE_PUSHF, pushfl
    pop %ebx
    sensitive SITE_POPF, popfl
    sensitive SITE_PUSHF, pushfl
    cli
    pop %ecx
    and $0x200, %ebx
    mix %ebx
    and $0x200, %ecx
    mix %ecx
    // The window shows another page at each call.
    mov calls, %eax
    and $1, %eax
    mov windows(, %eax, 4), %eax
    or $3, %eax
    mov current, %ecx
    mov tables(, %ecx, 4), %edx
    mov %eax, WINDOW_ENTRY(%edx)
    invlpg WINDOW
    mix WINDOW
    // The letter of the program, on the console.
    mov current, %ecx
    lea 'a'(%ecx), %eax
    mov $0x3f8, %edx
    out %al, %dx
    mov %esp, saved_esp(, %ecx, 4)
    xor $1, %ecx
    cmpl $0, ended(, %ecx, 4)
    je switch_to
    xor $1, %ecx
    jmp switch_to

program_ends:
    mov current, %ecx
    movl $1, ended(, %ecx, 4)
    xor $1, %ecx
    cmpl $0, ended(, %ecx, 4)
    je switch_to
    mov $0x3f8, %edx
    mov $10, %eax
    out %al, %dx
    mov digest, %esi
    jmp leave

// Whose call for a hypervisor this CPU has, its CPUID says: here the real CPU's answer is wanted. So
// this is no part of the code of which the note says that it is right in any ring.
    .section .below, "ax", @progbits
leave:
    exit_with %esi
    .text

// A page that a program wants: it gets the one that is kept for it.
page_fault:
    pushal
    mov %cr2, %eax
    mov %eax, scratch
    mix scratch
    mix 32(%esp)                        // the error code
    mov %cr2, %ebx
    cmp $DEMAND, %ebx
    jb never
    cmp $DEMAND + 0x1000, %ebx
    jae never
    mov current, %ecx
    mov demand_pages(, %ecx, 4), %eax
    or $7, %eax
    mov tables(, %ecx, 4), %edx
    mov %eax, DEMAND_ENTRY(%edx)
    invlpg DEMAND
    popal
    add $4, %esp
    iret

// A program's CLI: one byte, which is skipped.
protection_fault:
    pushal
    mix 32(%esp)                        // the error code
    mov 36(%esp), %eax
    mov %eax, scratch
    mix scratch                         // EIP
    incl 36(%esp)
    popal
    add $4, %esp
    iret

// What cannot be is no exit, so that nobody takes it for one.
never:
    cli
    jmp never

// The two programs. Both begin with their seed, and add the kernel's answer to it at each turn.
.macro program_loop step:vararg
    mov PROGRAM_DATA, %esi
    mov $TURNS, %edi
    cli                                 // not for programs
1:  \step
    mov %esi, DEMAND(, %edi, 4)
    mov DEMAND(, %edi, 4), %ebx
    mov $CALL_TURN, %eax
    int $SYSTEM_CALL
    add %eax, %esi
    dec %edi
    jnz 1b
    mov $CALL_END, %eax
    int $SYSTEM_CALL
.endm

    .section .programs, "ax", @progbits
    .balign 4096
program_0:
    program_loop imul $PRIME, %esi
    .balign 4096
program_1:
    program_loop rol $7, %esi
    .balign 4096

    .section .data
    .balign 4096
    // A test fills these two.
    .global seed_0, seed_1
    .type seed_0, @object
    .size seed_0, 4
    .type seed_1, @object
    .size seed_1, 4
data_0:
seed_0:
    .long 1
    .balign 4096
data_1:
seed_1:
    .long 2
    .balign 4096
window_0:
    .long 0x11111111
    .balign 4096
window_1:
    .long 0x22222222
    .balign 4096
gdt:
    .quad 0, 0x00cf9a000000ffff, 0x00cf92000000ffff, 0, 0, 0, 0
    .quad 0x00cffa000000ffff, 0x00cff2000000ffff
tss_descriptor:
    .quad 0x0000890000000067            // the start adds the base
gdt_end:
gdt_pointer:
    .word gdt_end - gdt - 1
    .long gdt
idt_pointer:
    .word 256 * 8 - 1
    .long idt
directories:
    .long directory_0, directory_1
tables:
    .long table_0, table_1
stack_tops:
    .long kernel_stack_0, kernel_stack_1
demand_pages:
    .long demand_0, demand_1
windows:
    .long window_0, window_1
digest:
    .long 0x811c9dc5

    .section .bss
    .balign 4096
directory_0:
    .skip 4096
directory_1:
    .skip 4096
low_table:
    .skip 4096
table_0:
    .skip 4096
table_1:
    .skip 4096
demand_0:
    .skip 4096
demand_1:
    .skip 4096
idt:
    .skip 4096
    .skip 4096
kernel_stack_0:
    .skip 4096
kernel_stack_1:
tss:
    .skip 0x68
saved_esp:
    .skip 8
ended:
    .skip 8
current:
    .skip 4
calls:
    .skip 4
scratch:
    .skip 4

    .section .note.nestling, "a", @note
note_end:
    .section .note.GNU-stack, "", @progbits
