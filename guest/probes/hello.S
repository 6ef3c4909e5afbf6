// SPDX-License-Identifier: MIT
// The smallest multiboot2 kernel, as ELF32. Exits with 42 if it was entered as [multiboot2 3.3]
// says:
// the magic in EAX, the information in EBX, whose first tag is the command line, and zeros in .bss.
#include "guest/probes/probe.h"

#define BOOT_MAGIC 0x36d76289
#define COM1 0x3f8

    probe_start
    cmp $BOOT_MAGIC, %eax
    jne 3f
    cmpl $16, (%ebx)                    // total size: at least the end tag
    jb 3f
    mov $PHYSICAL_DATA(zeros), %edi
    mov $2048, %ecx
    xor %eax, %eax
    repe scasl
    jne 3f
    mov $PHYSICAL_DATA(hello), %esi
    mov $COM1, %dx
1:  lodsb
    test %al, %al
    jz 2f
    out %al, %dx
    jmp 1b
2:  exit_with $42
3:  exit_with $1

    .section .data
hello:
    .asciz "hello from a 32-bit kernel\n"
    .section .bss
zeros:
    .skip 8192
    .section .note.GNU-stack, "", @progbits
