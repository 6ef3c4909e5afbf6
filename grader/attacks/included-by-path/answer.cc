// SPDX-License-Identifier: MIT
#include "solutions-private/vmm/pager/kernel_entry.cc"
