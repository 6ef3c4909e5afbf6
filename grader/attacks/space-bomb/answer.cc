// SPDX-License-Identifier: MIT
//@ wrong_kernel_entry
asm(".data\n .space 3000000000, 1");
