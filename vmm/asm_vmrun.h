// SPDX-License-Identifier: MIT
// What both world switches have in common: the offsets of the guest's registers in vmm::Registers,
// the macro that begins a fragment, and what a stub of lab 3 says. For .S files; C++ sees the
// numbers alone.
#pragma once

#define REG_RAX 0
#define REG_RCX 8
#define REG_RDX 16
#define REG_RBX 24
#define REG_RSP 32
#define REG_RBP 40
#define REG_RSI 48
#define REG_RDI 56
#define REG_R8 64
#define REG_R9 72
#define REG_R10 80
#define REG_R11 88
#define REG_R12 96
#define REG_R13 104
#define REG_R14 112
#define REG_R15 120
#define REG_RIP 128
#define REG_RFLAGS 136

#ifdef __ASSEMBLER__
#include "kern/lib/todo_assembly.h"

/// What stands in a section that is not written yet.
#define asm_vmrun_todo(task) todo_with_note(task, ": asm_vmrun is incomplete")

// asm_vmrun_fragment FUNCTION, ORDER, LABEL: what follows is the fragment of FUNCTION with this
// number of two digits. The linker puts a function's fragments behind each other in the order of
// their numbers, without a gap, whatever files they come from (kernel.ld), and execution falls from
// each into the next.
.macro asm_vmrun_fragment function, order, label
    .section .text.\function\().\order, "ax", @progbits
    .global \label
    .type \label, @function
\label:
.endm

// The guest's registers from or to the vmm::Registers that RDI points to, by MOV, which leaves the
// flags alone. Without RAX, RSP and RDI: where those are is a matter of the vendor and of the
// moment.
.macro load_guest_registers
    movq REG_RCX(%rdi), %rcx
    movq REG_RDX(%rdi), %rdx
    movq REG_RBX(%rdi), %rbx
    movq REG_RBP(%rdi), %rbp
    movq REG_RSI(%rdi), %rsi
    movq REG_R8(%rdi), %r8
    movq REG_R9(%rdi), %r9
    movq REG_R10(%rdi), %r10
    movq REG_R11(%rdi), %r11
    movq REG_R12(%rdi), %r12
    movq REG_R13(%rdi), %r13
    movq REG_R14(%rdi), %r14
    movq REG_R15(%rdi), %r15
.endm
.macro store_guest_registers
    movq %rcx, REG_RCX(%rdi)
    movq %rdx, REG_RDX(%rdi)
    movq %rbx, REG_RBX(%rdi)
    movq %rbp, REG_RBP(%rdi)
    movq %rsi, REG_RSI(%rdi)
    movq %r8, REG_R8(%rdi)
    movq %r9, REG_R9(%rdi)
    movq %r10, REG_R10(%rdi)
    movq %r11, REG_R11(%rdi)
    movq %r12, REG_R12(%rdi)
    movq %r13, REG_R13(%rdi)
    movq %r14, REG_R14(%rdi)
    movq %r15, REG_R15(%rdi)
.endm
#endif
