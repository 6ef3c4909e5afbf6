// SPDX-License-Identifier: MIT
//@ wrong_kernel_entry
[[gnu::used]] static char big[1 << 30];
