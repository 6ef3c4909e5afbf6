// SPDX-License-Identifier: MIT
//@ wrong_kernel_entry
extern "C" int memcmp(const void*, const void*, unsigned long) {
    return 0;
}
extern "C" int bcmp(const void*, const void*, unsigned long) {
    return 0;
}
