// SPDX-License-Identifier: MIT
//@ forge

//@ wrong_kernel_entry
static int early() {
    forge();
    return 1;
}
inline int value = early();
