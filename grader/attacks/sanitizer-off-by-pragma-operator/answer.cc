// SPDX-License-Identifier: MIT
_Pragma("GCC target(\"avx2\")")

    //@ wrong_kernel_entry
