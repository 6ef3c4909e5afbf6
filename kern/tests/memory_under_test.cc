// SPDX-License-Identifier: MIT
// The kernel's memcpy and the like, under other names: this process has its own.
#define memcpy kernel_memcpy
#define memmove kernel_memmove
#define memset kernel_memset
#define memcmp kernel_memcmp
#define memchr kernel_memchr
#define strlen kernel_strlen
#include "kern/lib/memory.cc"  // NOLINT(bugprone-suspicious-include)
