// SPDX-License-Identifier: MIT
template <unsigned long n>
struct Bomb {
    static constexpr unsigned long value = Bomb<n + 1>::value + Bomb<n + 2>::value;
};
static_assert(Bomb<0>::value == 1);

//@ wrong_kernel_entry
