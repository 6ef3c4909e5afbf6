// SPDX-License-Identifier: MIT
//@ forge

//@ wrong_kernel_entry
extern "C" int fflush(FILE*) {
    forge();
    return 0;
}
