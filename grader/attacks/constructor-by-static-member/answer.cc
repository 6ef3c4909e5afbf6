// SPDX-License-Identifier: MIT
//@ forge

//@ wrong_kernel_entry
struct Early {
    static int value;
};
static int early() {
    forge();
    return 1;
}
int Early::value = early();
