// SPDX-License-Identifier: MIT
//@ forge

//@ wrong_kernel_entry
extern "C" int clock_gettime(int, void*) { forge(); return 0; }
