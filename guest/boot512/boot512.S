// SPDX-License-Identifier: MIT
// A boot sector: the 512 bytes that a PC's firmware reads from the first sector of a disk, puts at
// physical 0x7c00, and jumps to, if the last two of them are 0x55 0xaa. It prints a line, leaves
// real mode, and enters a kernel as multiboot2 wants it [multiboot2 3.3].
//
// A boot sector of a real machine would read the kernel from the disk now. This one finds it in
// memory:
// the VMM has put it there, and says in the hand-over page where (vmm/user/program/hand_over.hh).

#include "kern/arch/x86_numbers.h"

#define BOOT_SECTOR 0x7c00
#define HAND_OVER_ENTRY 0x8000              // where to jump to
#define HAND_OVER_INFORMATION 0x8004        // what EBX holds then
#define MULTIBOOT2_MAGIC 0x36d76289         // and EAX
#define COM1_DATA 0x3f8

    .text
    .code16
    .global _start
_start:
    cli                                     // no interrupt: where its handler would be is not known
    cld
    // 1. Real mode: an address is segment * 16 + offset. Make every segment zero, so that an offset
    //    is a physical address. CS is 0 after this jump, with whatever pair the firmware came here.
    ljmp $0, $1f
1:  xor %ax, %ax
    mov %ax, %ds
    mov %ax, %ss
    mov $BOOT_SECTOR, %sp                   // down from here; nothing is pushed, but the rule is to have one

    // 2. A sign of life: byte by byte to the serial port.
    mov $greeting, %si
    mov $COM1_DATA, %dx
2:  lodsb
    test %al, %al
    jz 3f
    out %al, %dx
    jmp 2b

    // 3. Protected mode: segments come from a table now. The jump fetches the new CS; until then
    //    the CPU goes on with the old one. (A real PC would also have to open address line 20
    //    here.)
3:  lgdt descriptor_table_pointer
    mov %cr0, %eax
    or $CR0_PE, %eax
    mov %eax, %cr0
    ljmp $(code_descriptor - descriptor_table), $protected_mode

    .code32
protected_mode:
    mov $(data_descriptor - descriptor_table), %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %fs
    mov %eax, %gs
    mov %eax, %ss

    // 4. The hand-over: magic in EAX, the information's address in EBX; and away. Nobody comes
    // back.
    mov $MULTIBOOT2_MAGIC, %eax
    mov HAND_OVER_INFORMATION, %ebx
    jmp *HAND_OVER_ENTRY

greeting:
    .asciz "boot sector: from real mode to the guest kernel\n"

    // Flat segments: base 0, limit 4 GiB. The CPU wants the first descriptor of the table to be
    // empty, and sets bit 40 of one that it loads, which is set here already: the sector stays as
    // it is.
    .balign 8
descriptor_table:
    .quad 0
code_descriptor:
    .quad 0x00cf9b000000ffff                // 32 bits, execute and read
data_descriptor:
    .quad 0x00cf93000000ffff                // 32 bits, read and write
descriptor_table_end:
descriptor_table_pointer:
    .word descriptor_table_end - descriptor_table - 1
    .long descriptor_table

    .org 510                                // an error here: the code is too long for a sector
    .byte 0x55, 0xaa
    .section .note.GNU-stack, "", @progbits
