// SPDX-License-Identifier: MIT
#pragma once

// Where things are in the guests' physical memory. For assembly too, so it has #defines only.

#define BLOB \
    0x8000 /* guests.S, loaded page by page; below 64 KiB, so a gate holds it in one half */
#define STACK_TOP 0x21000
#define STACK_TOP_AP 0x23000
#define RESULTS 0x30000 /* %fs of virtual CPU 0 */
#define RESULTS_AP 0x31000
#define MODE 0x32000 /* what virtual CPU 1 is to do */
#define PAGE_DIRECTORY 0x50000
#define LONG_MODE_TABLES 0x52000 /* three pages */
#define STRING_TABLE 0x56000 /* a page table for INS and OUTS */
#define FRESH_STACK 0x41000 /* the top of a page that nobody has touched before */
#define WATCHED 0x60000     /* a page with contents of the host's */
#define WRITTEN 0x61000
#define PROGRESS 0x62000
#define PATTERN 0x63000 /* 64 words */
#define SAVED 0x64000   /* FXSAVE's 512 bytes, DR0 to DR3, YMM0 to YMM7 */
#define SAVED_DEBUG 0x64200
#define SAVED_AVX 0x64240
#define INFORMATION 0x7000 /* the multiboot2 information */
#define ZEROS_BEGIN 0x20000
#define ZEROS_END 0x60000
#define NOWHERE 0x90000000  /* no loader */
#define UNMAPPED 0x40000124 /* not in the guest's own page directory */

/* Offsets in a results page; the tables have a word for each vector. */
#define NOTES 0x000 /* words that a guest writes */
#define RESUME 0x080
#define ENTRIES 0x084 /* how often a handler was entered */
#define LAST_CR2 0x088
#define VIOLATIONS 0x08c
#define LAST_FLAGS 0x090 /* RFLAGS and RSP that a handler in 64-bit mode has found */
#define LAST_STACK 0x094
#define SEQUENCE 0x100 /* the vectors in the order in which they came, a byte each */
#define COUNTS 0x400
#define RETURNS 0x800 /* where the handler goes back to */
#define ERRORS 0xc00  /* the last error code */

#define MODE_INTERRUPTS 1
#define MODE_WATCH 2
#define MODE_PRIORITY 3

#define NMI_HALTS 3 /* in the first note: the handler of the next NMI halts */
#define HYPERCALL_SIGNATURE 0x7473654e

#define REINJECT_INTERRUPT 0
#define REINJECT_INT_N 1
#define REINJECT_INT3 2
#define REINJECT_UD 3
#define REINJECT_GP 4
#define REINJECT_NMI 5
#define REINJECT_PF 6
#define REINJECT_HOST_GP 7
#define REINJECT_CASES 8

#define SHOOTDOWN_ROUNDS 20
