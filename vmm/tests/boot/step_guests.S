// SPDX-License-Identifier: MIT
//
// Guests that step themselves, and guests that write where a guest can hurt. A part of guests.S,
// which includes this file: it has the macros and the tables.

#define TABLES 0x50000          // page tables; the task's stack and state lie below
#define IST_TOP 0x47000
#define TASK 0x48000
#define OPERAND 0x33000
#define UNTOUCHED 0x55000       // nobody has been there before

// An instruction behind which a guest that steps has its #DB.
.macro stepped instruction:vararg
    \instruction
.Lstepped\@:
    .pushsection .rodata.steps, "a"
    .quad .Lstepped\@
    .popsection
.endm

.macro steps_begin name
    .pushsection .rodata.steps, "a"
    .balign 8
    .global \name
\name:
    .popsection
.endm

.macro stepped_msr instruction, msr
    stepped movl $\msr, %ecx
    stepped xorl %eax, %eax
    stepped xorl %edx, %edx
    stepped \instruction
.endm

// ------------------------------------------------------------------------------------------------
// All in 32-bit mode.
    .global guest_step
guest_step:
    begin
    lidt AT(step_idt_pointer)
    write_msr MSR_SPURIOUS, 0x1ff
    xorl %esi, %esi             // steps so far
    pushfl
    movl (%esp), %edi
    orl $0x100, (%esp)
    popfl
    steps_begin steps_of_step
    stepped nop
    stepped cpuid
    stepped movl $0x3f9, %edx
    stepped inb %dx, %al
    stepped outb %al, %dx
    stepped pushl %edi
    stepped movl $OPERAND, %edi
    stepped movl $2, %ecx
    stepped                     // two elements are two steps
    stepped rep insb
    stepped popl %edi
    stepped_msr rdmsr, MSR_APIC_ID
    stepped_msr rdmsr, MSR_EFER
    stepped_msr wrmsr, MSR_TASK_PRIORITY
    stepped wbinvd
    stepped movl $2, %eax       // mark
    stepped hypercall
    stepped movl %eax, %dr0
    stepped movl %eax, UNTOUCHED
    stepped hlt
    stepped .byte 0x26, 0x36, 0xf4
    // An interrupt waits; the #DB of STI comes before it, and the shadow is over then. QEMU has no
    // #DB behind STI: the handler leaves it out.
    stepped movl $MSR_SELF, %ecx
    stepped movl $0x60, %eax
    stepped xorl %edx, %edx
    stepped wrmsr
    sti
behind_sti:
    stepped cpuid
    stepped cli
    stepped pushl %edi
    stepped popfl
    movl %esi, MODE             // how many
    finish

// ------------------------------------------------------------------------------------------------
// Instructions with prefixes, from one to as many as there may be. Steps if EBX is not 0.
.macro prefixes_of_every_mode
    stepped .byte 0x66, 0x0f, 0xa2
    stepped .byte 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x0f, 0xa2
    stepped .byte 0x2e, 0x66, 0xf3, 0x67, 0x0f, 0x09
    stepped movl $0x3f9, %edx
    stepped .byte 0x66, 0x67, 0xed
    stepped movl $MSR_TASK_PRIORITY, %ecx
    stepped .byte 0x3e, 0xf2, 0x0f, 0x32
    stepped .byte 0x65, 0x0f, 0x30
    stepped movl $2, %eax
    .byte 0x3e, 0x67
    stepped hypercall
.endm
    .global guest_prefix
guest_prefix:
    begin
    lidt AT(step_idt_pointer)
    xorl %esi, %esi
    pushfl
    movl (%esp), %edi
    testl %ebx, %ebx
    jz 1f
    orl $0x100, (%esp)
1:  popfl
    steps_begin steps_of_prefix
    prefixes_of_every_mode
    stepped pushl %edi
    stepped popfl
    movl %esi, MODE
    finish

// ------------------------------------------------------------------------------------------------
// 64-bit mode, the first 2 MiB mapped; RESULTS is at %fs still.
.macro begin_long
    begin
    movl $TABLES + 0x1003, TABLES
    movl $TABLES + 0x2003, TABLES + 0x1000
    movl $0x83, TABLES + 0x2000
    movl %cr4, %eax
    orl $0x20, %eax
    movl %eax, %cr4
    movl $TABLES, %eax
    movl %eax, %cr3
    movl $MSR_EFER, %ecx
    rdmsr
    orl $0x100, %eax
    wrmsr
    movl %cr0, %eax
    orl $CR0_PG, %eax
    movl %eax, %cr0
    lgdt AT(long_gdt_pointer)
    lidt AT(long_idt_pointer)
    ljmpl $0x28, $AT(1f)
    .code64
1:
.endm

// It must raise an exception. If not, another one comes that needs the IST.
.macro failing instruction:vararg
    movl $AT(7f), %fs:RESUME
    \instruction
    int3
    ud2
7:
.endm

    .global guest_prefix64
guest_prefix64:
    begin_long
    xorl %esi, %esi
    pushfq
    movq (%rsp), %rdi
    testl %ebx, %ebx
    jz 1f
    orq $0x100, (%rsp)
1:  popfq
    steps_begin steps_of_prefix64
    prefixes_of_every_mode
    stepped .byte 0x48, 0x0f, 0xa2
    stepped movl $MSR_TASK_PRIORITY, %ecx
    stepped movl $0x20, %eax
    stepped xorl %edx, %edx
    stepped .byte 0x48, 0x0f, 0x30
    stepped .byte 0x4f, 0x66, 0x0f, 0x32 // REX that does not count
    stepped movl $0x1234, %r9d
    stepped movq %r9, %dr1
    stepped .byte 0x66, 0x44, 0x66, 0x41, 0x0f, 0x23, 0xd1 // MOV DR2 = R9
    stepped .byte 0x49, 0x66, 0x0f, 0x23, 0xd9 // MOV DR3 = RCX: REX does not count
    stepped movl $1, %r8d
    stepped movq %r8, %cr8
    stepped pushq %rdi
    stepped popfq
    movl %esi, MODE
    movq %dr1, %rax
    note 0
    movq %dr2, %rax
    note 1
    movq %dr3, %rax
    note 2
    movq %cr8, %rax
    note 3
    finish
    .code32

// ------------------------------------------------------------------------------------------------
// Writes CR8 while an interrupt waits for IF.
    .global guest_priority
guest_priority:
    begin_long
    write_msr MSR_SPURIOUS, 0x1ff
    write_msr MSR_SELF, 0x30
    cpuid
    movl $16, %r9d
    failing movq %r9, %cr8
    xorl %eax, %eax
    movq %rax, %cr8
    movl $9, %r9d
    movq %r9, %cr8
    movq %cr8, %rax
    note 0
    sti                         // held now
    nop
    nop
    movl %fs:COUNTS + 4 * 0x30, %eax
    note 1
    movl $2, %r9d
    movq %r9, %cr8
1:  cmpl $0, %fs:COUNTS + 4 * 0x30
    je 1b
    finish
    .code32

// ------------------------------------------------------------------------------------------------
// LTR of a null selector, from a register and from memory, of what is no TSS, of one that is not
// there; then of a good one, which an event through the IST needs. Steps over that one if EBX is
// not 0.
    .global guest_task_register
guest_task_register:
    begin_long
    movl %ebx, %r8d
    xorl %esi, %esi
    xorl %eax, %eax
    failing ltr %ax
    movq $OPERAND, %rdx
    movl $3, OPERAND + 8        // null too
    movl $1, %ecx
    failing ltr (%rdx, %rcx, 8)
    str %eax
    note 0                      // as it was
    movl $0x10, %eax
    failing ltr %ax             // data
    movl %fs:ERRORS + 4 * 13, %eax
    note 1
    movl $0x40, %eax
    failing ltr %ax             // not present
    movl %fs:ERRORS + 4 * 11, %eax
    note 2
    movl %fs:LAST_FLAGS, %eax
    note 3                      // as the last of them has pushed them
    movl %fs:COUNTS + 4 * 13, %eax
    note 4
    movl $IST_TOP, TASK + 0x24
    movl $0x30, OPERAND
    pushfq
    movq (%rsp), %rdi
    shll $8, %r8d
    orl %r8d, (%rsp)
    popfq
    ltr (%rdx)                  // its #DB comes right behind it
1:  pushq %rdi
    popfq
    movl %esi, %eax
    note 5                      // how many steps
    movl $AT(1b), %eax
    subl SAVED, %eax
    note 6                      // 0 if the first was LTR's
    str %eax
    note 7
    movl AT(long_task) + 4, %eax
    note 8                      // busy now
    int3                        // by the IST
    movl %fs:LAST_STACK, %eax
    note 9
    finish
    .code32

// ------------------------------------------------------------------------------------------------
// Takes its own page away; the CPU goes on by what it remembers of it.
    .global guest_unmaps_itself
guest_unmaps_itself:
    begin_long
    xorl %eax, %eax
    movl %eax, TABLES + 0x2000
    cpuid
    finish
    .code32

// ------------------------------------------------------------------------------------------------
// Ring 3 before there is a TSS, and an event there.
    .global guest_ring3
guest_ring3:
    begin
    pushl $0x3b
    pushl $STACK_TOP
    pushl $2
    pushl $0x33
    pushl $AT(1f)
    lgdt AT(ring3_gdt_pointer)
    iret
1:  int $0x30

// ------------------------------------------------------------------------------------------------
// Breakpoints: one guest leaves them set, the other says what it finds, and sets others.
    .global guest_breakpoints, guest_no_breakpoints
guest_breakpoints:
    movl %eax, %ebp
    movl $0x700000, %eax
    movl %eax, %dr0
    movl $0xd0401, %eax
    movl %eax, %dr7
    finish
guest_no_breakpoints:
    begin
    .irp n, 0, 1, 2, 3, 6, 7
    movl %dr\n, %eax
    note \n
    .endr
    movl $0x10400, %eax
    movl %eax, %dr7
    movl %dr7, %eax
    note 8
    movl $0x600d, %eax
    movl %eax, %dr4             // DR6
    movl %dr6, %eax
    note 9
    movl %cr4, %eax
    orl $8, %eax
    movl %eax, %cr4
    refused movl %eax, %dr5     // #UD with CR4.DE
    finish

// Breaks at an address of the host's, of which EBX has the lower half.
    .global guest_breaks_host
guest_breaks_host:
    begin_long
    movslq %ebx, %rax
    movq %rax, %dr0
    movl $0x403, %eax
    movq %rax, %dr7
    cpuid
    movq $1, %rax
    shlq $32, %rax
    movl $AT(1f), %fs:RESUME
    movq %rax, %dr7             // #GP
1:  movl %fs:COUNTS + 4 * 13, %eax
    note 0
    finish
    .code32

// ------------------------------------------------------------------------------------------------
// Notes where it comes from, and why.
step_handler:
    pushl %eax
    movl 4(%esp), %eax
    cmpl $AT(behind_sti), %eax
    je 1f
    movl %eax, SAVED(, %esi, 8)
    movl %dr6, %eax
    movl %eax, SAVED + 4(, %esi, 8)
    xorl %eax, %eax
    movl %eax, %dr6
    incl %esi
1:  popl %eax
    iret

    steps_begin end_of_steps
    .balign 8
step_idt:
    .set vector, 0
    .rept 0x80
    .if vector == 1
    .word AT(step_handler), 8, 0x8e00, 0
    .else
    .word AT(stubs) + 16 * vector, 8, 0x8e00, 0
    .endif
    .set vector, vector + 1
    .endr
step_idt_pointer:
    .word 0x80 * 8 - 1
    .long AT(step_idt)

    .code64
long_step_handler:
    pushq %rax
    movq 8(%rsp), %rax
    movl %eax, SAVED(, %esi, 8)
    movq %dr6, %rax
    movl %eax, SAVED + 4(, %esi, 8)
    xorl %eax, %eax
    movq %rax, %dr6
    incl %esi
    popq %rax
    iretq
long_interrupt_handler:
    incl %fs:COUNTS + 4 * 0x30
    pushq %rax
    pushq %rcx
    pushq %rdx
    write_msr MSR_END_OF_INTERRUPT, 0
    popq %rdx
    popq %rcx
    popq %rax
    iretq
long_breakpoint_handler:
    movl %esp, %fs:LAST_STACK
    iretq
    .irp vector, 11, 13
long_fault_handler_\vector:
    incl %fs:COUNTS + 4 * \vector
    popq %fs:ERRORS + 4 * \vector
    pushq %rax
    movl 24(%rsp), %eax
    movl %eax, %fs:LAST_FLAGS
    movl %fs:RESUME, %eax
    movq %rax, 8(%rsp)
    popq %rax
    iretq
    .endr
long_give_up:
    xorl %eax, %eax
    movl $0xbad, %ebx
    hypercall
    .code32

.macro long_gate handler, stack=0
    .word AT(\handler), 0x28, 0x8e00 + \stack, 0
    .quad 0
.endm
    .balign 8
long_idt:
    .set vector, 0
    .rept 0x31
    .if vector == 1
    long_gate long_step_handler
    .elseif vector == 3
    long_gate long_breakpoint_handler, 1
    .elseif vector == 11
    long_gate long_fault_handler_11
    .elseif vector == 13
    long_gate long_fault_handler_13
    .elseif vector == 0x30
    long_gate long_interrupt_handler
    .else
    long_gate long_give_up
    .endif
    .set vector, vector + 1
    .endr
long_idt_pointer:
    .word 0x31 * 16 - 1
    .long AT(long_idt)
long_gdt:
    .quad 0
    .quad 0x00cf9b000000ffff            // 08 32-bit code, as in gdt
    .quad 0x00cf93000000ffff            // 10 data
    .quad 0x004093000000ffff | RESULTS << 16    // 18
    .quad 0
    .quad 0x00af9b000000ffff            // 28 64-bit code
long_task:
    .quad 0x0000890000000067 | (TASK & 0xffff) << 16 | TASK >> 16 << 32, 0 // 30
    .quad 0x0000090000000067, 0         // 40 a task that is not present
long_gdt_pointer:
    .word long_gdt_pointer - long_gdt - 1
    .long AT(long_gdt)
ring3_gdt:
    .quad 0
    .quad 0x00cf9b000000ffff            // 08 code
    .quad 0x00cf93000000ffff            // 10 data
    .quad 0, 0, 0
    .quad 0x00cffb000000ffff            // 30 code of ring 3
    .quad 0x00cff3000000ffff            // 38 its data
ring3_gdt_pointer:
    .word ring3_gdt_pointer - ring3_gdt - 1
    .long AT(ring3_gdt)
