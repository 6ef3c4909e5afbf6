// SPDX-License-Identifier: MIT
//
// The guests of the booted tests: 32-bit code that the kernel under test hands out page by page,
// from guest-physical BLOB on. A guest starts with EAX = the boot's nonce and EBX = what it is to
// do.

#include "kern/arch/x86_numbers.h"
#include "vmm/tests/boot/layout.h"

#define AT(label) label - guests_begin + BLOB

#define MSR_APIC_ID 0x802
#define MSR_TASK_PRIORITY 0x808
#define MSR_END_OF_INTERRUPT 0x80b
#define MSR_SPURIOUS 0x80f
#define MSR_COMMAND 0x830
#define MSR_TIMER 0x832
#define MSR_INITIAL_COUNT 0x838
#define MSR_CURRENT_COUNT 0x839
#define MSR_DIVIDE 0x83e
#define MSR_SELF 0x83f

// The hypercall of AMD. The kernel under test makes each one Intel's where the machine is: see
// choose_backend.
.macro hypercall
    .pushsection .rodata.hypercalls, "a"
    .quad .Lhypercall\@
    .popsection
.Lhypercall\@:
    vmmcall
.endm

    .section .rodata.hypercalls, "a"
    .balign 8
    .global hypercalls_begin
hypercalls_begin:

    .section .data.guests, "aw"
    .balign 4096
    .global guests_begin, guests_end
guests_begin:

// Virtual CPU 1 starts here in real mode, by a startup IPI with vector BLOB >> 12.
    .code16
    cli
    xorw %ax, %ax
    movw %ax, %ds
    lgdtl AT(gdt_pointer)
    movl %cr0, %eax
    orl $1, %eax
    movl %eax, %cr0
    ljmpl $8, $AT(second_cpu)

    .code32
second_cpu:
    movl $0x10, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    movl $0x20, %eax
    movl %eax, %fs
    lidt AT(idt_pointer)
    movl $STACK_TOP_AP, %esp
    cmpl $MODE_WATCH, MODE
    je watch
    cmpl $MODE_PRIORITY, MODE
    je set_priority
    jmp answer_interrupts

.macro begin
    lgdt AT(gdt_pointer)
    lidt AT(idt_pointer)
    movl $0x18, %ecx
    movl %ecx, %fs
    movl $STACK_TOP, %esp
    movl %eax, %ebp             // the nonce
.endm

.macro write_msr msr, low, high=0
    movl $\msr, %ecx
    movl $\low, %eax
    movl $\high, %edx
    wrmsr
.endm

// Waits until vector \vector has come.
.macro wait_for vector
1:  sti
    hlt
    cli
    cmpl $0, %fs:COUNTS + 4 * \vector
    je 1b
.endm

.macro note index
    movl %eax, %fs:NOTES + 4 * \index
.endm

.macro note_count index, vector
    movl %fs:COUNTS + 4 * \vector, %eax
    note \index
.endm

// Ends the VM with the nonce as its status.
.macro finish
    xorl %eax, %eax
    movl %ebp, %ebx
    movl $HYPERCALL_SIGNATURE, %edx
    hypercall
.endm

// ------------------------------------------------------------------------------------------------
    .global guest_finish
guest_finish:
    movl %eax, %ebp
    finish

// ------------------------------------------------------------------------------------------------
    .global guest_interrupts, behind_shadow, behind_cpuid, behind_halt, behind_priority
guest_interrupts:
    begin
    write_msr MSR_SPURIOUS, 0x1ff

    // Pending while IF is clear; then it comes behind the instruction that follows STI, not before.
    write_msr MSR_SELF, 0x60
    nop
    note_count 0, 0x60
    sti
    movl %fs:COUNTS + 4 * 0x60, %eax
behind_shadow:
    note 1
    cli
    note_count 2, 0x60

    // The same with an instruction in the shadow that the host does.
    write_msr MSR_SELF, 0x61
    xorl %eax, %eax
    sti
    cpuid
behind_cpuid:
    nop
    cli
    write_msr MSR_SELF, 0x62
    sti
    hlt
behind_halt:
    nop
    cli

    // Two at once: the higher one first, the other when that is done with.
    write_msr MSR_SELF, 0x63
    write_msr MSR_SELF, 0x6a
    sti
    nop
    nop
    cli

    // Held by the task priority.
    write_msr MSR_TASK_PRIORITY, 0x70
    write_msr MSR_SELF, 0x64
    sti
    nop
    nop
    note_count 3, 0x64
    write_msr MSR_TASK_PRIORITY, 0
behind_priority:
    nop
    cli

    // The timer once, halted; then periodically, while nothing else exits.
    write_msr MSR_DIVIDE, 0xb
    write_msr MSR_TIMER, 0x40
    write_msr MSR_INITIAL_COUNT, 300000
    wait_for 0x40
    movl $MSR_CURRENT_COUNT, %ecx
    rdmsr
    note 4
    write_msr MSR_TIMER, 0x20041
    write_msr MSR_INITIAL_COUNT, 200000
    sti
1:  cmpl $3, %fs:COUNTS + 4 * 0x41
    jb 1b
    cli
    write_msr MSR_INITIAL_COUNT, 0
    note_count 5, 0x40

    // The other CPU: it asks by 0x51, 53, 54, 56, and is answered by 0x52, an NMI, a broadcast
    // 0x55.
    movl $MODE_INTERRUPTS, MODE
    write_msr MSR_COMMAND, 0x4500, 1
    write_msr MSR_COMMAND, 0x4608, 1
    wait_for 0x51
    write_msr MSR_COMMAND, 0x4052, 1
    wait_for 0x53
    write_msr MSR_TIMER, 0x42
1:  write_msr MSR_COMMAND, 0x4400, 1
    movl $0, %fs:COUNTS + 4 * 0x42
    write_msr MSR_INITIAL_COUNT, 2000000
2:  sti                         // again if there is no answer: it may have come just before the HLT
    hlt
    cli
    cmpl $0, %fs:COUNTS + 4 * 0x54
    jne 3f
    cmpl $0, %fs:COUNTS + 4 * 0x42
    je 2b
    jmp 1b
3:
    write_msr MSR_COMMAND, 0xc4055
    wait_for 0x56
    finish

answer_interrupts:
    write_msr MSR_SPURIOUS, 0x1ff
    write_msr MSR_COMMAND, 0x4051
    wait_for 0x52
    write_msr MSR_COMMAND, 0x4053
1:  hlt                         // with IF clear: only the NMI ends it
    cmpl $0, %fs:COUNTS + 4 * 2
    je 1b
    write_msr MSR_COMMAND, 0x4054
    wait_for 0x55
    write_msr MSR_COMMAND, 0x4056
1:  hlt
    jmp 1b

// ------------------------------------------------------------------------------------------------
// An NMI that comes while the handler of another runs must wait for its IRET.
    .global guest_two_nmis
guest_two_nmis:
    begin
    movl $1, %fs:NOTES          // the handler sends itself another one, once
    write_msr MSR_COMMAND, 0x4400
    nop
    finish

// ------------------------------------------------------------------------------------------------
// One event, delivered through an IDT and onto a stack that nobody has touched before.
    .global guest_reinjection
guest_reinjection:
    begin
    movl %ebx, %edi
    write_msr MSR_SPURIOUS, 0x1ff
    movl $AT(reinjection_done), %fs:RESUME
    movl $FRESH_STACK, %esp
    jmp *AT(reinjection_table)(, %edi, 4)

    .global reinject_labels
    .balign 4
reinjection_table:
    .long AT(reinject_interrupt), AT(reinject_int_n), AT(reinject_int3), AT(reinject_ud)
    .long AT(reinject_gp), AT(reinject_nmi), AT(reinject_pf), AT(reinject_host_gp)
// Where each case's handler is to return to.
reinject_labels:
    .long AT(after_interrupt), AT(after_int_n), AT(after_int3), AT(at_ud)
    .long AT(at_gp), AT(after_nmi), AT(at_pf), AT(at_host_gp)

reinject_interrupt:
    sti
    nop
    write_msr MSR_SELF, 0x60
after_interrupt:
    nop
    jmp reinjection_done
reinject_int_n:
    int $0x70
after_int_n:
    jmp reinjection_done
reinject_int3:
    int3
after_int3:
    jmp reinjection_done
reinject_ud:
at_ud:
    ud2
reinject_gp:
    movl $0xf00, %eax
at_gp:
    movl %eax, %es
reinject_nmi:
    write_msr MSR_COMMAND, 0x4400
after_nmi:
    nop
    jmp reinjection_done
reinject_pf:
    movl $0x83, PAGE_DIRECTORY  // 4 MiB at 0
    movl %cr4, %eax
    orl $CR4_PSE, %eax
    movl %eax, %cr4
    movl $PAGE_DIRECTORY, %eax
    movl %eax, %cr3
    movl %cr0, %eax
    orl $CR0_PG, %eax
    movl %eax, %cr0
at_pf:
    movl %eax, UNMAPPED
reinject_host_gp:
    movl $0x1234, %ecx
at_host_gp:
    rdmsr
reinjection_done:
    cli
    movl $STACK_TOP, %esp
    finish

// ------------------------------------------------------------------------------------------------
// Virtual CPU 1 reads and writes; virtual CPU 0 asks the host to take the pages away, round by
// round.
    .global guest_shootdown
guest_shootdown:
    begin
    movl $MODE_WATCH, MODE
    movl %ebp, MODE + 4
    notl MODE + 4               // the poison
    write_msr MSR_COMMAND, 0x4500, 1
    write_msr MSR_COMMAND, 0x4608, 1
    movl $1, %ebx
1:  movl $2, %eax               // mark
    movl $HYPERCALL_SIGNATURE, %edx
    hypercall
    incl %ebx
    cmpl $SHOOTDOWN_ROUNDS + 1, %ebx
    jbe 1b
    finish

watch:
    movl MODE + 4, %edx
    movl $0, %fs:VIOLATIONS
1:  cmpl %edx, WATCHED
    jne 2f
    incl %fs:VIOLATIONS
2:  incl WRITTEN
    incl PROGRESS
    jmp 1b

// ------------------------------------------------------------------------------------------------
// Says over and over what its page holds, and counts in it.
    .global guest_memory
guest_memory:
    movl WATCHED, %edx
    incl WATCHED + 4
    movl WATCHED + 4, %esi
    hypercall
    jmp guest_memory

// ------------------------------------------------------------------------------------------------
// Fills FPU, SSE and debug registers by the nonce (EAX), with AVX too if EBX is 2, not at all if it
// is 0; then stores them over and over.
    .global guest_state
guest_state:
    movl %ebx, %edi
    xorl %ecx, %ecx
1:  movl %eax, PATTERN(, %ecx, 4)
    addl $0x9e3779b9, %eax
    incl %ecx
    cmpl $64, %ecx
    jne 1b
    movl %cr4, %eax
    orl $0x600, %eax
    movl %eax, %cr4
    cmpl $0, %edi
    je store_state

    fninit
    .irp n, 0, 1, 2, 3, 4, 5, 6, 7
    fildll PATTERN + 8 * \n
    movups PATTERN + 16 * \n, %xmm\n
    .endr
    movl PATTERN, %eax
    andl $0x6000, %eax          // how SSE rounds
    orl $0x1f80, %eax
    movl %eax, SAVED
    ldmxcsr SAVED
    movl PATTERN, %eax
    movl %eax, %dr0
    movl PATTERN + 4, %eax
    movl %eax, %dr1
    movl PATTERN + 8, %eax
    movl %eax, %dr2
    movl PATTERN + 12, %eax
    movl %eax, %dr3
    cmpl $2, %edi
    jne store_state
    movl %cr4, %eax
    orl $0x40000, %eax
    movl %eax, %cr4
    xorl %ecx, %ecx
    xorl %edx, %edx
    movl $7, %eax
    xsetbv
    .irp n, 0, 1, 2, 3, 4, 5, 6, 7
    vinsertf128 $1, PATTERN + 16 * (7 - \n), %ymm\n, %ymm\n
    .endr

store_state:
    fxsave SAVED
    movl %dr0, %eax
    movl %eax, SAVED_DEBUG
    movl %dr1, %eax
    movl %eax, SAVED_DEBUG + 4
    movl %dr2, %eax
    movl %eax, SAVED_DEBUG + 8
    movl %dr3, %eax
    movl %eax, SAVED_DEBUG + 12
    cmpl $2, %edi
    jne 1f
    .irp n, 0, 1, 2, 3, 4, 5, 6, 7
    vmovups %ymm\n, SAVED_AVX + 32 * \n
    .endr
1:  hypercall
    jmp store_state

// ------------------------------------------------------------------------------------------------
// Instructions that this virtual CPU does not have or does not allow: each raises an exception.
.macro refused instruction:vararg
    movl $AT(1f), %fs:RESUME
    \instruction
    hlt                         // not reached: no exception came
1:
.endm
    .global guest_refused
guest_refused:
    begin
    movl %ebx, %edi
    movl %esp, %eax
    refused vmrun
    refused vmload
    refused vmsave
    refused stgi
    refused clgi
    refused skinit
    refused invlpga %eax, %ecx
    refused rsm
    xorl %ecx, %ecx             // what is not zero is refused in another way
    refused monitor
    refused mwait
    refused xsetbv
    movl $MSR_EFER, %ecx        // EFER.SVME is not the guest's to set
    movl $0x1000, %eax
    xorl %edx, %edx
    refused wrmsr
    movl $MSR_VM_HSAVE_PA, %ecx
    refused wrmsr
    xorl %ecx, %ecx
    refused rdpmc
    // The same of VMX.
    movl $INFORMATION, %eax
    refused vmxon (%eax)
    refused vmclear (%eax)
    refused vmptrld (%eax)
    refused vmlaunch
    refused vmresume
    refused vmxoff
    refused vmread %ecx, %edx
    refused vmwrite %edx, %ecx
    refused invept (%eax), %ecx
    refused invvpid (%eax), %ecx
    xorl %eax, %eax
    refused getsec
    movl $MSR_FEATURE_CONTROL, %ecx
    refused rdmsr
    testl %edi, %edi            // the last two are for Intel: EFER.FFXSR, CR4.VMXE
    jz 2f
    movl $MSR_EFER, %ecx
    movl $0x4000, %eax
    xorl %edx, %edx
    refused wrmsr
    movl %cr4, %eax
    orl $0x2000, %eax
    refused movl %eax, %cr4
2:  finish

// ------------------------------------------------------------------------------------------------
// Guests that the host has to end. Where the end comes is at_..., on which RIP stands.
    .global kill_triple_fault, kill_out, kill_in, kill_ins, kill_outs, kill_nowhere, kill_hole
    .global kill_halt, kill_loop
    .global at_triple_fault, at_out, at_in, at_ins, at_outs, at_hole, at_halt
kill_triple_fault:
    lidt AT(no_idt_pointer)
at_triple_fault:
    ud2
kill_out:
    movl $0x1234, %edx
at_out:
    outb %al, %dx
kill_in:
    movl $0x1236, %edx
at_in:
    inw %dx, %ax
kill_ins:
    movl $0x1234, %edx
    movl $SAVED, %edi
at_ins:
    insb
kill_outs:
    movl $0x3f8, %edx
    movl $NOWHERE, %esi
    movl $3, %ecx
at_outs:
    rep outsb
kill_nowhere:
    movl $NOWHERE, %ecx
    jmp *%ecx
kill_hole:
at_hole:
    movl 0xc0000000, %ecx
kill_halt:
    cli
    hlt
at_halt:
    nop
kill_loop:
    jmp kill_loop

#include "vmm/tests/boot/vcpu_guests.S"
#include "vmm/tests/boot/step_guests.S"

// ------------------------------------------------------------------------------------------------
// One stub of 16 bytes for each vector: an error code where the CPU pushes none, and the vector.
    .balign 16
stubs:
    .set vector, 0
    .rept 256
    .balign 16
    .if !(vector == 8 || (vector >= 10 && vector <= 14) || vector == 17)
    pushl $0
    .endif
    pushl $vector
    jmp handle
    .set vector, vector + 1
    .endr

handle:
    pushal
    movl 32(%esp), %edx         // the vector; then the error code, EIP, CS, EFLAGS
    movl %fs:ENTRIES, %ecx
    cmpl $0x100, %ecx
    jae give_up
    movb %dl, %fs:SEQUENCE(%ecx)
    incl %fs:ENTRIES
    incl %fs:COUNTS(, %edx, 4)
    movl 36(%esp), %eax
    movl %eax, %fs:ERRORS(, %edx, 4)
    movl 40(%esp), %eax
    movl %eax, %fs:RETURNS(, %edx, 4)
    cmpl $2, %edx
    je 2f
    cmpl $3, %edx
    je 3f
    cmpl $0x20, %edx
    jb 1f
    cmpl $0x70, %edx
    jae 3f
    write_msr MSR_END_OF_INTERRUPT, 0
    jmp 3f
1:  movl %cr2, %eax             // a fault: go on where the guest wants to
    movl %eax, %fs:LAST_CR2
    movl %fs:RESUME, %eax
    testl %eax, %eax
    jz give_up
    movl %eax, 40(%esp)
    jmp 3f
2:  cmpl $NMI_HALTS, %fs:NOTES
    jne 2f
    call halt_in_nmi
    jmp 3f
2:  cmpl $1, %fs:NOTES
    jne 3f
    movl $2, %fs:NOTES
    write_msr MSR_COMMAND, 0x4400
    nop
    note_count 1, 2             // how many handlers have been entered by now
3:  popal
    addl $8, %esp
    iret
give_up:
    xorl %eax, %eax
    movl %edx, %ebx
    orl $0xbad00000, %ebx
    movl $HYPERCALL_SIGNATURE, %edx
    hypercall

    .balign 8
gdt:
    .quad 0
    .quad 0x00cf9b000000ffff            // 08 code
    .quad 0x00cf93000000ffff            // 10 data
    .quad 0x004093000000ffff | RESULTS << 16    // 18 results of virtual CPU 0
    .quad 0x004093000000ffff | RESULTS_AP << 16 // 20 results of virtual CPU 1
gdt_pointer:
    .word gdt_pointer - gdt - 1
    .long AT(gdt)
idt_pointer:
    .word 256 * 8 - 1
    .long AT(idt)
no_idt_pointer:
    .word 0
    .long 0

// The IDT has a page to itself, which nobody touches before the first event.
    .global guest_idt
    .balign 4096
idt:
guest_idt:
    .set vector, 0
    .rept 256
    .word AT(stubs) + 16 * vector, 8, 0x8e00, 0
    .set vector, vector + 1
    .endr
    .balign 4096
guests_end:

    .section .rodata.hypercalls, "a"
    .global hypercalls_end
hypercalls_end:

    .section .note.GNU-stack, "", @progbits
