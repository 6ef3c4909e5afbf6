// SPDX-License-Identifier: MIT
// What every probe begins with: a multiboot2 header, and the start in 32-bit protected mode with
// paging off, where only physical addresses count.
#pragma once

#define PHYSICAL_DATA(symbol) (symbol - 0x80000000)
#define PHYSICAL_TEXT(symbol) (symbol - 0xc0000000)

#define MULTIBOOT2_MAGIC 0xe85250d6
#define MULTIBOOT2_LENGTH (multiboot2_header_end - multiboot2_header)

.macro multiboot2_begin
    .section .multiboot2, "a"
    .balign 8
multiboot2_header:
    .long MULTIBOOT2_MAGIC, 0, MULTIBOOT2_LENGTH, -(MULTIBOOT2_MAGIC + MULTIBOOT2_LENGTH)
.endm
.macro multiboot2_end
    .word 0, 0
    .long 8
multiboot2_header_end:
    .section .text
    .code32
    .global start
start:
.endm
.macro probe_start
    multiboot2_begin
    multiboot2_end
.endm

#define HYPERCALL_SIGNATURE 0x7473654e      // "Nest"

// vmm/hypercall.hh: EAX = 0 (exit), EBX = status, EDX = the signature, by the instruction of this
// CPU's vendor.
.macro exit_with status
    xor %eax, %eax
    cpuid
    cmp $0x756e6547, %ebx               // "Genu" of "GenuineIntel"
    mov \status, %ebx
    mov $0, %eax
    mov $HYPERCALL_SIGNATURE, %edx
    je .Lintel\@
    vmmcall
    hlt
.Lintel\@:
    vmcall
    hlt
.endm
