// SPDX-License-Identifier: MIT
//@ forge

//@ wrong_kernel_entry
[[gnu::constructor]] static void early() {
    forge();
}
