// SPDX-License-Identifier: MIT
//@ forge

//@ wrong_kernel_entry
[[gnu::destructor]] static void late() {
    forge();
}
