// SPDX-License-Identifier: MIT
#pragma GCC optimize("O3")

//@ wrong_kernel_entry
