// SPDX-License-Identifier: MIT
//@ forge

//@ wrong_kernel_entry
[[gnu::section(".init"), gnu::used]] static void early() {
    forge();
}
