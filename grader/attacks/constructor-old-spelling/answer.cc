// SPDX-License-Identifier: MIT
//@ forge

//@ wrong_kernel_entry
__attribute__((constructor(101))) static void early() {
    forge();
}
