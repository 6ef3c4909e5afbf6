// SPDX-License-Identifier: MIT
// Numbers that assembly shares with C++, for the preprocessor of both. registers.hh asserts them.
#pragma once

#define CPUID_LONG_MODE (1 << 29)  // leaf 0x80000001, EDX
#define CPUID_NX (1 << 20)

#define PTE_PRESENT (1 << 0)
#define PTE_WRITE (1 << 1)
#define PTE_UNCACHED ((1 << 3) | (1 << 4))  // PWT and PCD
#define PTE_LARGE (1 << 7)
#define PTE_NX_HIGH_HALF (1 << 31)  // bit 63
#define LARGE_PAGE 0x200000

#define CR0_KERNEL 0x80010033  // PG, WP, NE, ET, MP, PE
#define CR4_PAE (1 << 5)
#define MSR_EFER 0xc0000080
#define EFER_LME (1 << 8)
#define EFER_NXE (1 << 11)

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

#define BOOT_STACK_SIZE 0x8000

// The page that a starting CPU executes in real mode: below 1 MiB, at vector * 0x1000.
#define TRAMPOLINE 0x8000
#define TRAMPOLINE_VECTOR 0x08
