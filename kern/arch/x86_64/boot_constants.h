// SPDX-License-Identifier: MIT
// Numbers of this kernel's own that assembly shares with C++, for the preprocessor of both.
#pragma once

#include "kern/arch/x86_numbers.h"

#define CPUID_LONG_MODE (1 << 29)  // leaf 0x80000001, EDX
#define CPUID_NX (1 << 20)

#define PTE_NX_HIGH_HALF (1 << 31)  // bit 63
#define LARGE_PAGE 0x200000

#define CR0_KERNEL (CR0_PG | CR0_WP | CR0_NE | CR0_ET | CR0_MP | CR0_PE)

#define BOOT_CODE 0x08                           // selector
#define BOOT_CODE_DESCRIPTOR 0x00af9b000000ffff  // 64-bit code, ring 0, accessed

// struct PerCpu, through GS. per_cpu.hh asserts them.
#define PER_CPU_USER_STACK 8
#define PER_CPU_KERNEL_STACK 16
#define PER_CPU_TASK_STACK 84  // the TSS's RSP0

#define USER_DATA 0x1b  // selectors of kern/arch/segments.hh
#define USER_CODE 0x23
#define SYSTEM_CALL_VECTOR 256
#define RFLAGS_KERNEL 0x2  // nothing but the bit that is always one
#define RFLAGS_VIRTUAL_8086 0x20000

#define BOOT_STACK_SIZE 0x8000

// The page that a starting CPU executes in real mode: below 1 MiB, at vector * 0x1000.
#define TRAMPOLINE 0x8000
#define TRAMPOLINE_VECTOR 0x08
