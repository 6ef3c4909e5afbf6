// SPDX-License-Identifier: MIT
//@ forge

//@ wrong_kernel_entry
#include <time.h>
extern "C" int clock_gettime(clockid_t, timespec*) noexcept {
    forge();
    return 0;
}
