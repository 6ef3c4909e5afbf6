// SPDX-License-Identifier: MIT
// A small kernel of 32 bits for lab 6: flat segments, two levels of page tables, two programs. It
// runs unpatched wherever a CPU of its own, or a hypervisor's, executes it.
//
// The programs take turns by a system call. Then one of them reads bytes, which the other writes to
// the serial line, whose end is connected with its beginning: each is waited for, and its interrupt
// switches back to the reader. Then the timer switches between the programs, while each waits for
// the other in a loop; and then one of them sleeps before each byte that it writes, and the other
// reads them, so that most of the time both wait and the kernel halts.
//
// At its end it prints digests of what it has seen, and exits with a number that is made of them
// (guest/probes/probe.h): what its programs computed from their seeds, the addresses and error
// codes of their faults, IF behind each POPF, when an interrupt came that it had sent to itself,
// what a page shows that is remapped at each call. When the timer's come does not matter.
// grader/testkit/tiny.py works the same numbers out from the seeds alone.
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

// Of what `seen` says: digest = (digest ^ value) * PRIME, modulo 2^32. EAX changes.
.macro mix seen, value
    mov \value, %eax
    xor digests + 4 * \seen, %eax
    imul $PRIME, %eax
    mov %eax, digests + 4 * \seen
.endm

// Port `port` gets `value`. EAX and EDX change.
.macro write_port port, value
    mov \value, %eax
    mov $\port, %edx
    out %al, %dx
.endm

.macro end_of_interrupt
    movl $0, APIC + APIC_END_OF_INTERRUPT
.endm

// Mixes how many of its own interrupts have come since there were EBX.
.macro mix_arrived
    mov arrived, %ecx
    sub %ebx, %ecx
    mix SEEN_ARRIVALS, %ecx
.endm
.macro interrupt_self
    mov arrived, %ebx
    movl $TO_SELF | SELF_VECTOR, APIC + APIC_COMMAND
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
    mov $START, %eax
    xor seed_0, %eax
    imul $PRIME, %eax
    xor seed_1, %eax
    imul $PRIME, %eax
    mov $digests, %edi
    mov $SEEN_COUNT, %ecx
    rep stosl
    movl $APIC_ENABLED | SPURIOUS_VECTOR, APIC + APIC_SPURIOUS
    movl $SERIAL_ENTRY, IO_APIC
    movl $INPUT_VECTOR, IO_APIC + IO_APIC_WINDOW
    // The first frame of each program, as an interrupt would have left it.
    mov $kernel_stack_0, %esi
    call first_frame
    mov %edi, saved_esp
    mov $kernel_stack_1, %esi
    call first_frame
    mov %edi, saved_esp + 4
    xor %ecx, %ecx
    jmp switch_to

// EDI = the stack pointer for a program that has not begun; its stack ends at ESI. The program gets
// the turns in EDI, the rounds in EBP and the reads in ECX.
first_frame:
    lea -52(%esi), %edi
    mov turns, %eax
    mov %eax, (%edi)
    mov rounds, %eax
    mov %eax, 8(%edi)
    mov reads, %eax
    mov %eax, 24(%edi)
    movl $PROGRAM, 32(%edi)
    movl $USER_CODE, 36(%edi)
    movl $0x202, 40(%edi)
    movl $PROGRAM_STACK, 44(%edi)
    movl $USER_DATA, 48(%edi)
    ret

// Gates: \#BP, \#GP, \#PF, interrupts, and the system call.
fill_gates:
    mov $13, %ebx
    mov $protection_fault, %eax
    mov $0x8e00, %ecx
    call fill_gate
    mov $14, %ebx
    mov $page_fault, %eax
    call fill_gate
    mov $3, %ebx
    mov $breakpoint, %eax
    call fill_gate
    mov $TIMER_VECTOR, %ebx
    mov $timer, %eax
    call fill_gate
    mov $INPUT_VECTOR, %ebx
    mov $input, %eax
    call fill_gate
    mov $SELF_VECTOR, %ebx
    mov $own_interrupt, %eax
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

// The first 4 MiB are the kernel's, at the same addresses, and so are the devices; at PROGRAM each
// program has pages of its own, and one that both have.
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
    movl $shared + 7, table_0 + SHARED_ENTRY
    movl $shared + 7, table_1 + SHARED_ENTRY
    movl $device_table + 3, directory_0 + IO_APIC / 0x400000 * 4
    movl $device_table + 3, directory_1 + IO_APIC / 0x400000 * 4
    movl $IO_APIC + 0x13, device_table                              // not cached
    movl $APIC + 0x13, device_table + (APIC - IO_APIC) / 0x1000 * 4
    ret

// The current program's registers are on its stack: the other one's turn, if it can run; or its
// own; or nobody's, until an interrupt changes that.
choose:
    mov current, %ecx
    mov %esp, saved_esp(, %ecx, 4)
1:  xor $1, %ecx
    cmpl $READY, states(, %ecx, 4)
    je switch_to
    xor $1, %ecx
    cmpl $READY, states(, %ecx, 4)
    je switch_to
    mov states, %eax
    and states + 4, %eax
    cmp $ENDED, %eax                    // no other two have it in common
    je finish
    sti
    hlt
    cli
    jmp 1b

// ECX is the program that runs next.
switch_to:
    mov %ecx, current
    mov saved_esp(, %ecx, 4), %esp
    mov directories(, %ecx, 4), %eax
    mov %eax, %cr3
    mov stack_tops(, %ecx, 4), %eax
    mov %eax, tss + 4
return:
    popal
    iret

finish:
    write_port SERIAL_CONTROL, $0
    write_port SERIAL, $10
    mix SEEN_CLOCK, shared_value
    mix SEEN_INPUT, results
    mix SEEN_INPUT, results + 4
    // The digests by 8 digits each, and a number that is made of all of them.
    mov $START, %esi
    xor %edi, %edi
1:  mov digests(, %edi, 4), %ebx
    xor %ebx, %esi
    imul $PRIME, %esi
    mov $8, %ecx
2:  rol $4, %ebx
    mov %ebx, %eax
    and $15, %eax
    movzbl digits(%eax), %eax
    write_port SERIAL, %eax
    loop 2b
    write_port SERIAL, $32
    inc %edi
    cmp $SEEN_COUNT, %edi
    jb 1b
    write_port SERIAL, $10
    jmp leave

// Whose call for a hypervisor this CPU has, its CPUID says: here the real CPU's answer is wanted.
// So this is no part of the code of which the note says that it is right in any ring.
    .section .below, "ax", @progbits
leave:
    exit_with %esi
    .text

system_call:
    pushal
    mov current, %ecx
    cmp $CALL_CONNECT, %eax
    ja never
    jmp *calls_by_number(, %eax, 4)

take_turn:
    mix SEEN_VALUES, %ebx               // what the program has computed
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
    mix SEEN_FLAGS, %ebx
    and $0x200, %ecx
    mix SEEN_FLAGS, %ecx
    // A handler of the kernel's own returns to where IF is 0.
    int3
    sensitive SITE_PUSHF, pushfl
    pop %ebx
    and $0x200, %ebx
    mix SEEN_FLAGS, %ebx
    // An interrupt that waits comes behind the POPF that sets IF,
    sensitive SITE_PUSHF, pushfl
    orl $0x200, (%esp)
    interrupt_self
    sensitive SITE_POPF, popfl
    cli
    mix_arrived
    // and behind the instruction behind STI: not between STI and CLI.
    interrupt_self
    sti
    cli
    mix_arrived
    sti
    nop
    cli
    mix_arrived
    // The window shows another page at each call, and the page on demand is taken away.
    mov calls, %eax
    and $1, %eax
    mov windows(, %eax, 4), %eax
    or $3, %eax
    mov current, %ecx
    mov tables(, %ecx, 4), %edx
    mov %eax, WINDOW_ENTRY(%edx)
    invlpg WINDOW
    movl $0, DEMAND_ENTRY(%edx)
    invlpg DEMAND
    mix SEEN_WINDOW, WINDOW
    // The letter of the program, on the console.
    mov current, %ecx
    add $'a', %ecx
    write_port SERIAL, %ecx
    jmp choose

program_ends:
    mov %ebx, results(, %ecx, 4)
    movl $ENDED, states(, %ecx, 4)
    jmp choose

// The timer begins, and the serial line is connected with itself.
start_clock:
    movl $DIVIDE_BY_ONE, APIC + APIC_DIVIDE
    movl $PERIODIC | TIMER_VECTOR, APIC + APIC_TIMER
    movl $TICK, APIC + APIC_INITIAL_COUNT
connect:
    write_port SERIAL_CONTROL, $LOOPBACK
    write_port SERIAL_INTERRUPTS, $1
    jmp return

sleep:
    movl $SLEEPING, states(, %ecx, 4)
    jmp choose

write:
    write_port SERIAL, %ebx
    jmp return

read:
    mov input_taken, %ebx
    cmp input_count, %ebx
    je 1f
    incl input_taken
    and $INPUT_SIZE - 1, %ebx
    movzbl inputs(%ebx), %eax
    mov %eax, 28(%esp)
    jmp return
1:  movl $READING, states(, %ecx, 4)
    jmp choose

// Interrupts: the timer's, that of the serial port, and the one that the kernel sends to itself.
timer:
    pushal
    end_of_interrupt
    xor %ecx, %ecx
1:  cmpl $SLEEPING, states(, %ecx, 4)
    jne 2f
    movl $READY, states(, %ecx, 4)
2:  inc %ecx
    cmp $2, %ecx
    jb 1b
handled:
    testb $3, 36(%esp)                  // CS: the kernel is not interrupted but where it halts
    jnz choose
    jmp return

// A byte has come: for a program that waits for it, or for one that will ask.
input:
    pushal
    mov $SERIAL, %edx
    in %dx, %al
    movzbl %al, %eax
    end_of_interrupt
    xor %ecx, %ecx
1:  cmpl $READING, states(, %ecx, 4)
    je 2f
    inc %ecx
    cmp $2, %ecx
    jb 1b
    mov input_count, %ebx
    incl input_count
    and $INPUT_SIZE - 1, %ebx
    mov %al, inputs(%ebx)
    jmp return
2:  mov saved_esp(, %ecx, 4), %ebx
    mov %eax, 28(%ebx)                  // its EAX
    movl $READY, states(, %ecx, 4)
    jmp handled

breakpoint:
    iret

own_interrupt:
    incl arrived
    end_of_interrupt
    iret

// A page that a program wants: it gets the one that is kept for it.
page_fault:
    pushal
    mov %cr2, %eax
    mov %eax, scratch
    mix SEEN_FAULTS, scratch
    mix SEEN_FAULTS, 32(%esp)           // the error code
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
    mix SEEN_FAULTS, 32(%esp)           // the error code
    mov 36(%esp), %eax
    mov %eax, scratch
    mix SEEN_FAULTS, scratch            // EIP
    incl 36(%esp)
    popal
    add $4, %esp
    iret

// What cannot be is no exit, so that nobody takes it for one.
never:
    cli
    jmp never

.macro system number
    mov $\number, %eax
    int $SYSTEM_CALL
.endm

// The two programs. Both begin with their seed. ESI is what they have computed; `step` changes it.
.macro turns_taken step:vararg
    mov PROGRAM_DATA, %esi
    cli                                 // not for programs
    // By turns: the kernel's answer is added at each.
1:  \step
    mov %esi, DEMAND(, %edi, 4)
    mov DEMAND(, %edi, 4), %ebx
    system CALL_TURN
    add %eax, %esi
    dec %edi
    jnz 1b
    mov %ecx, %edi
    test %edi, %edi
    jz 2f
.endm
.macro rounds_by_the_timer me, other, step:vararg
    // Label 2: from turns_taken, if there is nothing to read.
2:  mov %ebp, %edi
    test %edi, %edi
    jz 9f
    // By the timer: each waits in a loop for what the other leaves in the page that both have.
    system CALL_CLOCK
1:  cmpl $\me, SHARED_TURN
    jne 1b
    add SHARED_VALUE, %esi
    \step
    mov %esi, SHARED_VALUE
    movl $\other, SHARED_TURN
    dec %edi
    jnz 1b
    mov %ebp, %edi
.endm
.macro program_end
9:  mov %esi, %ebx
    system CALL_END
.endm

    .section .programs, "ax", @progbits
    .balign 4096
program_0:
    turns_taken imul $PRIME, %esi
1:  system CALL_READ
    add %eax, %esi
    imul $PRIME, %esi
    dec %edi
    jnz 1b
    rounds_by_the_timer 0, 1, imul $PRIME, %esi
    // A byte each tick.
1:  system CALL_SLEEP
    imul $PRIME, %esi
    mov %esi, %ebx
    system CALL_WRITE
    dec %edi
    jnz 1b
    program_end
    .balign 4096
program_1:
    turns_taken rol $7, %esi
    system CALL_CONNECT
1:  rol $7, %esi
    mov %esi, %ebx
    system CALL_WRITE
    dec %edi
    jnz 1b
    rounds_by_the_timer 1, 0, rol $7, %esi
    // The bytes that come.
1:  system CALL_READ
    add %eax, %esi
    rol $7, %esi
    dec %edi
    jnz 1b
    program_end
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
    // How much of everything; a measurement wants more of one thing, and 0 rounds.
    .global turns, reads, rounds
    .type turns, @object
    .size turns, 4
    .type rounds, @object
    .size rounds, 4
    .type reads, @object
    .size reads, 4
turns:
    .long 8
reads:
    .long 0
rounds:
    .long 4
digits:
    .ascii "0123456789abcdef"
calls_by_number:
    .long never, take_turn, program_ends, start_clock, sleep, write, read, connect

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
shared:                                 // at its programs' SHARED_TURN
    .skip 4
shared_value:
    .skip 4092
device_table:
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
states:
    .skip 8
current:
    .skip 4
calls:
    .skip 4
scratch:
    .skip 4
digests:
    .skip 4 * SEEN_COUNT
results:                                // ESI of each program at its end
    .skip 8
arrived:                                // interrupts of its own
    .skip 4
input_count:                            // bytes that have come, and that were given to a reader
    .skip 4
input_taken:
    .skip 4
inputs:
    .skip INPUT_SIZE

    .section .note.nestling, "a", @note
note_end:
    .section .note.GNU-stack, "", @progbits
