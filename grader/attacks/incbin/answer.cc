// SPDX-License-Identifier: MIT
//@ wrong_kernel_entry
asm(".section .rodata\n .incbin \"/etc/ld.so.conf\"");
