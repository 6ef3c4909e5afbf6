// SPDX-License-Identifier: MIT
// From the boot loader to C++. Entered in 32-bit protected mode without paging, by one of
//   multiboot2 [multiboot2 3.3]: EAX = magic, EBX = physical address of the information
//   PVH [xen misc/pvh]:          EBX = physical address of hvm_start_info
// Three steps: fill page tables, switch on long mode, jump to the higher half.
//
// This is the only file that knows KERNEL_OFFSET, the distance from physical to virtual addresses
// of the kernel's image: a second kernel at another address is the same objects with another
// boot.o.

#ifndef KERNEL_OFFSET
#error "compile with -DKERNEL_OFFSET=..."
#endif
#define PHYSICAL(symbol) (symbol - KERNEL_OFFSET)

#include "kern/arch/x86_64/boot_constants.h"

#define DIRECT_MAP_SLOT 256                                // 0xffff800000000000
#define KERNEL_PDPT_SLOT ((KERNEL_OFFSET >> 30) & 511)     // in the topmost 512 GiB

#define PVH_ENTRY_MAGIC 0x336ec578
#define COM1_DATA 0x3f8

    .section .multiboot2, "a"
    .balign 8
header_begin:
    .long 0xe85250d6                                       // magic [multiboot2 3.1.1]
    .long 0                                                // architecture: i386
    .long header_end - header_begin
    .long -(0xe85250d6 + 0 + (header_end - header_begin))  // makes the sum 0
    .word 0, 0                                             // end tag
    .long 8
header_end:

    .section .note.pvh, "a", @note
    .balign 4
    .long 4, 8, 18                                         // XEN_ELFNOTE_PHYS32_ENTRY
    .asciz "Xen"
    .quad PHYSICAL(pvh_entry)

    .section .boot, "ax"
    .code32
    .global multiboot2_entry, pvh_entry
pvh_entry:
    mov $PVH_ENTRY_MAGIC, %eax
multiboot2_entry:
    cli
    cld
    mov %eax, %edi                                         // the arguments of kernel_start
    mov %ebx, %esi
    mov $PHYSICAL(boot_stack_top), %esp

    // Is this a 64-bit CPU with NX? Everything below needs both.
    mov $0x80000000, %eax
    cpuid
    cmp $0x80000001, %eax
    jb no_long_mode
    mov $0x80000001, %eax
    cpuid
    and $(CPUID_LONG_MODE | CPUID_NX), %edx
    cmp $(CPUID_LONG_MODE | CPUID_NX), %edx
    jne no_long_mode

    // 2048 large pages map the first 4 GiB; the last of them, where devices live, uncached.
    xor %ecx, %ecx
    mov $(PTE_PRESENT | PTE_WRITE | PTE_LARGE), %eax
    mov $PHYSICAL(boot_page_directories), %edx
1:  mov %eax, (%edx, %ecx, 8)
    add $LARGE_PAGE, %eax
    inc %ecx
    cmp $1536, %ecx
    jne 2f
    or $PTE_UNCACHED, %eax
2:  cmp $2048, %ecx
    jne 1b

    // One table of these four directories serves the identity map (which only the code that
    // switches on paging needs) and the direct map, where the topmost entry forbids execution.
    mov $PHYSICAL(boot_pdpt), %edx
    mov $(PHYSICAL(boot_page_directories) + PTE_PRESENT + PTE_WRITE), %eax
    xor %ecx, %ecx
1:  mov %eax, (%edx, %ecx, 8)
    add $0x1000, %eax
    inc %ecx
    cmp $4, %ecx
    jne 1b
    movl $(PHYSICAL(boot_page_directories) + PTE_PRESENT + PTE_WRITE), \
        PHYSICAL(boot_kernel_pdpt) + KERNEL_PDPT_SLOT * 8
    mov $PHYSICAL(boot_pml4), %edx
    movl $(PHYSICAL(boot_pdpt) + PTE_PRESENT + PTE_WRITE), (%edx)
    movl $(PHYSICAL(boot_pdpt) + PTE_PRESENT + PTE_WRITE), DIRECT_MAP_SLOT * 8(%edx)
    movl $PTE_NX_HIGH_HALF, DIRECT_MAP_SLOT * 8 + 4(%edx)
    movl $(PHYSICAL(boot_kernel_pdpt) + PTE_PRESENT + PTE_WRITE), 511 * 8(%edx)

    // Long mode [amd/vol2 14.6]: PAE, the root, EFER.LME, and with paging it is active.
    mov %edx, %cr3
    mov $CR4_PAE, %eax                                     // and nothing that firmware may have left
    mov %eax, %cr4
    mov $MSR_EFER, %ecx
    rdmsr
    or $(EFER_LME | EFER_NXE), %eax
    wrmsr
    mov $CR0_KERNEL, %eax
    mov %eax, %cr0
    lgdt PHYSICAL(boot_gdt_pointer)
    ljmp $BOOT_CODE, $PHYSICAL(long_mode)

no_long_mode:
    mov $PHYSICAL(complaint), %esi
    mov $COM1_DATA, %dx
1:  lodsb
    test %al, %al
    jz 2f
    out %al, %dx
    jmp 1b
2:  hlt
    jmp 2b
complaint:
    .asciz "This kernel needs a 64-bit CPU with NX.\n"

    .code64
long_mode:
    mov $higher_half, %rax
    jmp *%rax
higher_half:
    xor %eax, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    mov %eax, %fs
    mov %eax, %gs
    mov $boot_stack_top, %rsp
    xor %ebp, %ebp                                         // the end of every backtrace
    push %rbp                                              // a return address of 0, and alignment
    push %rbp
    mov %rsp, %rbp
    call kernel_start
1:  cli
    hlt
    jmp 1b

    .section .rodata
    .balign 8
    .global kernel_offset, boot_gdt
kernel_offset:
    .quad KERNEL_OFFSET
boot_gdt:
    .quad 0
    .quad BOOT_CODE_DESCRIPTOR
boot_gdt_end:
boot_gdt_pointer:
    .word boot_gdt_end - boot_gdt - 1
    .long PHYSICAL(boot_gdt)

    .section .bss
    .balign 4096
    .global boot_pml4, boot_stack_guard, boot_stack, boot_stack_top
boot_pml4:             .skip 4096
boot_pdpt:             .skip 4096
boot_kernel_pdpt:      .skip 4096
boot_page_directories: .skip 4 * 4096
boot_stack_guard:      .skip 4096                          // unmapped in the final map
boot_stack:            .skip BOOT_STACK_SIZE
boot_stack_top:
    .section .note.GNU-stack, "", @progbits
