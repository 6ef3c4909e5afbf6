// SPDX-License-Identifier: MIT
//@ forge

//@ wrong_kernel_entry
struct Early {
    Early() { forge(); }
};
[[gnu::init_priority(101)]] Early early;
