// SPDX-License-Identifier: MIT
# 7 "labs/unit_main.cc" 3

//@ wrong_kernel_entry
