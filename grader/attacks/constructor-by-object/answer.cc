// SPDX-License-Identifier: MIT
//@ forge

//@ wrong_kernel_entry
struct Early {
    Early() { forge(); }
};
static Early early;
