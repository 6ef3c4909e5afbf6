// SPDX-License-Identifier: MIT
//@ forge

//@ wrong_kernel_entry
extern "C" void exit(int) {
    forge();
    __builtin_unreachable();
}
