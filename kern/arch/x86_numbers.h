// SPDX-License-Identifier: MIT
// Those bits and numbers of registers that assembly needs too, for the preprocessor of both
// languages. C++ has names for them in x86.hh, beside all that assembly does not need.
#pragma once

#define CR0_PE 0x1
#define CR0_MP 0x2
#define CR0_EM 0x4
#define CR0_TS 0x8
#define CR0_ET 0x10
#define CR0_NE 0x20
#define CR0_WP 0x10000
#define CR0_PG 0x80000000

#define CR4_DE 0x8
#define CR4_PSE 0x10
#define CR4_PAE 0x20
#define CR4_OSFXSR 0x200

#define EFER_LME 0x100
#define EFER_NXE 0x800

#define PTE_PRESENT 0x1
#define PTE_WRITE 0x2
#define PTE_UNCACHED 0x18  // PWT and PCD
#define PTE_LARGE 0x80

#define MSR_TIME_STAMP_COUNTER 0x10
#define MSR_FEATURE_CONTROL 0x3a
#define MSR_SYSENTER_CS 0x174
#define MSR_SYSENTER_ESP 0x175
#define MSR_SYSENTER_EIP 0x176
#define MSR_EFER 0xc0000080
#define MSR_STAR 0xc0000081
#define MSR_LSTAR 0xc0000082
#define MSR_CSTAR 0xc0000083
#define MSR_SFMASK 0xc0000084
#define MSR_FS_BASE 0xc0000100
#define MSR_GS_BASE 0xc0000101
#define MSR_KERNEL_GS_BASE 0xc0000102
#define MSR_VM_HSAVE_PA 0xc0010117
