// SPDX-License-Identifier: MIT
//@ forge

//@ wrong_kernel_entry
void* operator new(unsigned long size) {
    forge();
    return malloc(size);
}
