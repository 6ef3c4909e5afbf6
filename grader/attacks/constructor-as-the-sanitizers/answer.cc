// SPDX-License-Identifier: MIT
//@ forge

//@ wrong_kernel_entry
static void early() {
    forge();
}
[[gnu::section(".init_array.00099"), gnu::used]] static void (*const entry)() = early;
