// SPDX-License-Identifier: MIT
constexpr unsigned long bomb(unsigned long n) {
    unsigned long s = 0;
    for (unsigned long i = 0; i < n; ++i)
        for (unsigned long j = 0; j < n; ++j) s += j;
    return s;
}
static_assert(bomb(1UL << 40) != 1);

//@ wrong_kernel_entry
