// SPDX-License-Identifier: MIT
// Requires all multiboot2 information that is served, looks through what it gets
// [multiboot2 3.6], and exits with a bit for each type that is there; with 1 if a number in it is
// wrong. It wants 64 MiB.
#include "guest/probes/probe.h"

#define BASIC_MEMORY 4
#define SECTIONS 9
#define LOWER_KIB 640
#define UPPER_KIB (64 * 1024 - 1024)
#define SECTION_HEADER 64

    multiboot2_begin
    .word 1, 0                          // information request, required
    .long 8 + 7 * 4
    .long 1, 2, 3, 4, 5, 6, 9
    .long 0                             // padding
    multiboot2_end
    xor %esi, %esi                      // the types
    lea 8(%ebx), %edi
next_tag:
    mov (%edi), %ecx
    test %ecx, %ecx
    jz done
    cmp $31, %ecx
    ja wrong
    bts %ecx, %esi
    jc wrong                            // one type twice
    cmp $BASIC_MEMORY, %ecx
    jne 1f
    cmpl $LOWER_KIB, 8(%edi)
    jne wrong
    cmpl $UPPER_KIB, 12(%edi)
    jne wrong
1:  cmp $SECTIONS, %ecx
    jne 2f
    cmpl $SECTION_HEADER, 12(%edi)
    jne wrong
    mov 8(%edi), %eax                   // as many as the tag has room for; the names' is one
    cmp %eax, 16(%edi)
    jae wrong
    shl $6, %eax
    add $20, %eax
    cmp %eax, 4(%edi)
    jne wrong
2:  mov 4(%edi), %eax
    lea 7(%edi, %eax), %edi
    and $-8, %edi
    jmp next_tag
done:
    exit_with %esi
wrong:
    exit_with $1
    .section .data
    .long 1
    .section .note.GNU-stack, "", @progbits
