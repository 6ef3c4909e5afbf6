// SPDX-License-Identifier: MIT
//@ forge

//@ wrong_kernel_entry
[[maybe_unused]] static const int value = [] {
    forge();
    return 1;
}();
