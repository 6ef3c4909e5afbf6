// SPDX-License-Identifier: MIT
//
// Guests for what a virtual CPU is above the backends: the APIC timer, CR8, NMIs, the time-stamp
// counter, hypercalls and ports. A part of guests.S, which has the macros.

// ------------------------------------------------------------------------------------------------
// A timer that has always run out again takes no CPU away from its guest.
    .global guest_tiny_timer
guest_tiny_timer:
    begin
    write_msr MSR_SPURIOUS, 0x1ff
    write_msr MSR_DIVIDE, 0xb
    write_msr MSR_TIMER, 0x20041
    write_msr MSR_INITIAL_COUNT, 1
    movl $100000, %ecx          // with IF clear
1:  loop 1b
    sti
    movl $100000, %ecx          // with IF set: the handler leaves time for others
1:  movl $0, %fs:ENTRIES
    loop 1b
    cli
    write_msr MSR_TIMER, 0x20003 // a vector that no APIC takes
    movl $100000, %ecx
1:  loop 1b
    write_msr MSR_INITIAL_COUNT, 0

    write_msr MSR_TIMER, 0x42   // once
    write_msr MSR_INITIAL_COUNT, 1
    sti
    nop
    nop
    cli
    write_msr MSR_TIMER, 0x10043 // run out while it is masked: that interrupt is lost
    write_msr MSR_INITIAL_COUNT, 1
    xorl %eax, %eax
    cpuid
    write_msr MSR_TIMER, 0x43
    sti
    nop
    nop
    cli
    finish

// ------------------------------------------------------------------------------------------------
// CR8 is the APIC's task priority: what it lets come wakes a CPU that halts. CR8 wants 64-bit mode.
    .global guest_held
guest_held:
    begin
    movl $LONG_MODE_TABLES + 0x1000 + PTE_PRESENT + PTE_WRITE, LONG_MODE_TABLES
    movl $LONG_MODE_TABLES + 0x2000 + PTE_PRESENT + PTE_WRITE, LONG_MODE_TABLES + 0x1000
    movl $PTE_LARGE + PTE_PRESENT + PTE_WRITE, LONG_MODE_TABLES + 0x2000
    movl $LONG_MODE_TABLES, %eax
    movl %eax, %cr3
    movl %cr4, %eax
    orl $CR4_PAE, %eax
    movl %eax, %cr4
    write_msr MSR_EFER, EFER_LME
    movl %cr0, %eax
    orl $CR0_PG, %eax
    movl %eax, %cr0
    lgdt AT(long_mode_gdt_pointer)
    ljmp $8, $AT(held_long_mode)

    .code64
held_long_mode:
    lidt AT(long_mode_idt_pointer)
    write_msr MSR_SPURIOUS, 0x1ff
    write_msr MSR_TASK_PRIORITY, 0x30
    write_msr MSR_SELF, 0x31
    xorl %eax, %eax
    movq %rax, %cr8
    sti
    hlt
    cli
    movl $4, %eax
    movq %rax, %cr8
    movl $MSR_TASK_PRIORITY, %ecx
    rdmsr
    note 0
    write_msr MSR_TASK_PRIORITY, 0x50
    movq %cr8, %rax
    note 1
    finish

held_handler:
    incl %fs:COUNTS + 4 * 0x31
    write_msr MSR_END_OF_INTERRUPT, 0
    iretq
    .code32

    .balign 8
long_mode_gdt:
    .quad 0
    .quad 0x00209b0000000000    // 08 code
    .quad 0x00cf93000000ffff    // 10 data
long_mode_gdt_pointer:
    .word long_mode_gdt_pointer - long_mode_gdt - 1
    .long AT(long_mode_gdt)
    .balign 16
long_mode_idt:
    .skip 0x31 * 16
    .word AT(held_handler), 8, 0x8e00, 0
    .quad 0
long_mode_idt_pointer:
    .word long_mode_idt_pointer - long_mode_idt - 1
    .quad AT(long_mode_idt)

// ------------------------------------------------------------------------------------------------
// INIT clears the task priority, as CR8 and as the APIC's register. Virtual CPU 1 is started twice.
    .global guest_init
guest_init:
    begin
    movl $MODE_PRIORITY, MODE
    write_msr MSR_COMMAND, 0x4500, 1
    write_msr MSR_COMMAND, 0x4608, 1
1:  pause
    cmpl $1, RESULTS_AP + NOTES
    jne 1b
    write_msr MSR_COMMAND, 0x4500, 1
    write_msr MSR_COMMAND, 0x4608, 1
1:  pause
    cmpl $2, RESULTS_AP + NOTES
    jne 1b
    finish

set_priority:
    movl $MSR_TASK_PRIORITY, %ecx
    rdmsr
    movl %fs:NOTES, %ebx
    movl %eax, %fs:NOTES + 4(, %ebx, 4)
    write_msr MSR_TASK_PRIORITY, 0x70
    incl %fs:NOTES
1:  hlt
    jmp 1b

// ------------------------------------------------------------------------------------------------
// An NMI that waits for the handler of another does not wake that from a HLT; the timer does.
    .global guest_nmi_halt
guest_nmi_halt:
    begin
    write_msr MSR_SPURIOUS, 0x1ff
    write_msr MSR_DIVIDE, 0xb
    write_msr MSR_TIMER, 0x40
    movl $NMI_HALTS, %fs:NOTES
    write_msr MSR_COMMAND, 0x4400
    nop
    finish

// Called by the handler of the first one.
halt_in_nmi:
    movl $0, %fs:NOTES
    write_msr MSR_COMMAND, 0x4400
    write_msr MSR_INITIAL_COUNT, 1000000
    sti
    hlt
    cli
    ret

// ------------------------------------------------------------------------------------------------
// The time-stamp counter goes on from what is written into it, in RDTSC as in RDMSR.
    .global guest_tsc
guest_tsc:
    begin
    write_msr MSR_TIME_STAMP_COUNTER, 0, 0x1000
    rdtsc
    movl %edx, %eax
    note 0
    rdmsr
    movl %edx, %eax
    note 1
    write_msr MSR_TIME_STAMP_COUNTER, 5, 0
    rdtsc
    movl %eax, %esi
    movl %edx, %edi
    movl %edx, %eax
    note 2
    rdmsr                       // not before
    movl %eax, %ebx
    subl %esi, %eax
    movl %edx, %eax
    sbbl %edi, %eax
    note 3                      // the upper half of the difference
    movl %ebx, %esi
    movl %edx, %edi
    rdtsc
    subl %esi, %eax
    sbbl %edi, %edx
    movl %edx, %eax
    note 4
    write_msr MSR_SPURIOUS, 0x1ff // the APIC timer has a clock of its own
    write_msr MSR_DIVIDE, 0xb
    write_msr MSR_TIMER, 0x40
    write_msr MSR_INITIAL_COUNT, 300000
    wait_for 0x40
    finish

// ------------------------------------------------------------------------------------------------
// Hypercalls that are refused: one that is another hypervisor's, and one of a program in ring 3.
    .global guest_calls
guest_calls:
    begin
    xorl %eax, %eax             // "exit", but for the signature
    movl $0xbad0, %ebx
    movl $0x12345678, %edx
    hypercall
    note 0
    movl $77, %eax
    movl $HYPERCALL_SIGNATURE, %edx
    hypercall
    note 1

    // SYSEXIT needs no descriptors: it makes flat segments for ring 3, and SYSENTER for ring 0.
    write_msr MSR_SYSENTER_CS, 8
    write_msr MSR_SYSENTER_ESP, STACK_TOP
    movl $MSR_SYSENTER_EIP, %ecx
    movl $AT(back_in_ring_0), %eax
    wrmsr
    movl %esp, %ecx
    movl $AT(in_ring_3), %edx
    sysexit
in_ring_3:
    xorl %eax, %eax
    movl $0xbad3, %ebx
    movl $HYPERCALL_SIGNATURE, %edx
    hypercall
    sysenter
back_in_ring_0:
    note 2
    finish

// ------------------------------------------------------------------------------------------------
// Accesses wider than a device, or beside it. With EBX = 1 also ports that nobody serves.
    .global guest_ports
guest_ports:
    begin
    movl $0xf4, %edx            // isa-debug-exit has four ports
    outl %eax, %dx
    movl $0xf6, %edx
    outb %al, %dx
    movl $0xf4, %edx
    inl %dx, %eax
    note 0
    movl $0x3fd, %edx           // the last three ports of COM1, and one behind
    inl %dx, %eax
    note 1
    xorl %eax, %eax
    movl $0x3f7, %edx           // one before it, and its first
    inw %dx, %ax
    note 2
    movl $0x3ff, %edx           // its last
    movl $0x5a, %eax
    outw %ax, %dx
    inb %dx, %al
    note 3
    cmpl $1, %ebx
    jne 1f
    movl $0xcf8, %edx
    outl %eax, %dx
    movl $0xcfc, %edx
    inl %dx, %eax
    note 4
    xorl %eax, %eax
    movl $0x604, %edx
    outw %ax, %dx
    inw %dx, %ax
    note 5
    xorl %eax, %eax
    outb %al, $0xe9
    inb $0xe9, %al
    note 6
1:  finish

// ------------------------------------------------------------------------------------------------
// INS and OUTS on pages of the guest's own: with a fault in the middle, behind which the guest goes
// on where it was, and from a page that is not there. At 4 MiB there is a page, then a read-only
// one.
    .global guest_strings, at_rep_ins, at_outs_of_nothing
guest_strings:
    begin
    movl $0x83, PAGE_DIRECTORY
    movl $STRING_TABLE + 3, PAGE_DIRECTORY + 4
    movl $WRITTEN + 3, STRING_TABLE
    movl $PATTERN + 1, STRING_TABLE + 4
    movl %cr4, %eax
    orl $CR4_PSE, %eax
    movl %eax, %cr4
    movl $PAGE_DIRECTORY, %eax
    movl %eax, %cr3
    movl %cr0, %eax
    orl $CR0_PG | CR0_WP, %eax
    movl %eax, %cr0
    cld
    movl $AT(ins_faulted), %fs:RESUME
    movl $0xe9, %edx            // reads as its own number
    movl $0x400ffe, %edi
    movl $5, %ecx
at_rep_ins:
    rep insb
    movl $AT(outs_faulted), %fs:RESUME
    movl %ecx, %eax
    note 5
    movl %edi, %eax
    note 6
    movl WRITTEN + 0xffc, %eax
    note 7
    movl PATTERN, %eax
    note 8
    movl STRING_TABLE + 4, %eax
    note 9
    movl $0x402004, %esi
at_outs_of_nothing:
    outsl
ins_faulted:
    movl %ecx, %eax
    note 0
    movl %edi, %eax
    note 1
    movl %fs:LAST_CR2, %eax
    note 2
    movl %fs:ERRORS + 4 * 14, %eax
    note 3
    movl %fs:RETURNS + 4 * 14, %eax
    note 4
    orl $2, STRING_TABLE + 4
    invlpg 0x401000
    jmp at_rep_ins
outs_faulted:
    movl %fs:LAST_CR2, %eax
    note 10
    movl %fs:ERRORS + 4 * 14, %eax
    note 11
    finish

// A whole string by one exit.
    .global guest_long_string
guest_long_string:
    begin
    cld
    movl $BLOB, %esi
    movl $4096, %ecx
    movl $0x80, %edx
    rep outsb
    finish
