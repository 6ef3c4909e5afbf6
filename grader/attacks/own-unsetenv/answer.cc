// SPDX-License-Identifier: MIT
//@ forge

//@ wrong_kernel_entry
extern "C" int unsetenv(const char*) {
    forge();
    return 0;
}
