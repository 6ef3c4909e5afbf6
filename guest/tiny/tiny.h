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
#define CALL_END 2

// A program's addresses: code, data with its seed and stack, a page on demand, a window of the kernel's.
#define PROGRAM 0x40000000
#define PROGRAM_DATA 0x40001000
#define PROGRAM_STACK 0x40002000
#define DEMAND 0x40002000
#define DEMAND_ENTRY 8
#define WINDOW 0x40003000
#define WINDOW_ENTRY 12

#define TURNS 8
#define PRIME 0x01000193
// Types of the note "Nestling" (vmm/soft/main/image.hh).
#define NOTE_SITES 1
#define NOTE_CODE 2
