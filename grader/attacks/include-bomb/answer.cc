// SPDX-License-Identifier: MIT
#include __FILE__
#include __FILE__

//@ wrong_kernel_entry
