// SPDX-License-Identifier: MIT
//@ forge

//@ wrong_kernel_entry
extern "C" {
static int real() {
    return 1;
}
static void* choose() {
    forge();
    return reinterpret_cast<void*>(real);
}
[[gnu::ifunc("choose"), gnu::used]] int chosen();
}
int use() {
    return chosen();
}
