// SPDX-License-Identifier: MIT
// Numbers of the kernel tiny.
#pragma once

// The GDT. Entries 3 and 4 are left out: a host of lab 6 has its own segments for ring 3 there, and
// their selectors would be loaded without a trap.
#define KERNEL_CODE 0x08
#define KERNEL_DATA 0x10
#define USER_CODE 0x3b
#define USER_DATA 0x43
#define TSS_SELECTOR 0x48

#define SYSTEM_CALL 0x80
#define CALL_TURN 1                     // EBX: a number; EAX becomes how many calls there were
#define CALL_END 2                      // EBX: a number
#define CALL_CLOCK 3                    // the timer takes the CPU from a program from now on
#define CALL_SLEEP 4                    // until the timer's next interrupt
#define CALL_WRITE 5                    // BL goes out by the serial line
#define CALL_READ 6                     // EAX becomes the byte that came in first; waits for it
#define CALL_CONNECT 7                  // what goes out by the serial line comes in by it

// What a program is doing.
#define READY 0
#define ENDED 1
#define SLEEPING 2
#define READING 3

// The local APIC in its page, and the IO-APIC: what is used of their registers.
#define APIC 0xfee00000
#define APIC_END_OF_INTERRUPT 0xb0
#define APIC_SPURIOUS 0xf0
#define APIC_COMMAND 0x300
#define APIC_TIMER 0x320
#define APIC_INITIAL_COUNT 0x380
#define APIC_DIVIDE 0x3e0
#define IO_APIC 0xfec00000
#define IO_APIC_WINDOW 0x10
#define SERIAL_ENTRY 0x18               // of the IO-APIC's line 4
#define TIMER_VECTOR 0x50
#define INPUT_VECTOR 0x51
#define SELF_VECTOR 0x52
#define SPURIOUS_VECTOR 0xff
#define APIC_ENABLED 0x100              // beside the spurious vector
#define PERIODIC 0x20000                // of the timer
#define DIVIDE_BY_ONE 0xb
#define TICK 1000000                    // of the timer's clock: 1 ms
#define TO_SELF 0x40000                 // of a command

// The serial port.
#define SERIAL 0x3f8
#define SERIAL_INTERRUPTS 0x3f9
#define SERIAL_CONTROL 0x3fc
#define LOOPBACK 0x10
#define INPUT_SIZE 8                    // bytes that wait for a reader

// A program's addresses: code, data with its seed and stack, a page on demand, a window of the
// kernel's, and a page that both programs have.
#define PROGRAM 0x40000000
#define PROGRAM_DATA 0x40001000
#define PROGRAM_STACK 0x40002000
#define DEMAND 0x40002000
#define DEMAND_ENTRY 8
#define WINDOW 0x40003000
#define WINDOW_ENTRY 12
#define SHARED_TURN 0x40004000          // whose turn it is
#define SHARED_VALUE 0x40004004
#define SHARED_ENTRY 16

// At most so many turns: the page on demand has a number for each.
#define MOST_TURNS 1023

// Digests of what it has seen, of which each begins with the seeds.
#define SEEN_VALUES 0                   // what the programs have computed at each turn
#define SEEN_FAULTS 1                   // error codes, addresses
#define SEEN_FLAGS 2                    // IF
#define SEEN_ARRIVALS 3                 // its own interrupts, at once or not
#define SEEN_WINDOW 4                   // the page that is mapped anew at each call
#define SEEN_CLOCK 5                    // what the programs have left to each other
#define SEEN_INPUT 6                    // what was written and read
#define SEEN_COUNT 7
#define PRIME 0x01000193
#define START 0x811c9dc5
// Types of the note "Nestling" (vmm/soft/main/image.hh).
#define NOTE_SITES 1
#define NOTE_CODE 2
