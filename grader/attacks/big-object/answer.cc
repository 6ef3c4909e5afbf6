// SPDX-License-Identifier: MIT
//@ wrong_kernel_entry
[[gnu::used]] static const char big[64 << 20] = {1};
