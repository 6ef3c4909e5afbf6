// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

namespace kern::bench {

/// How long a page fault of ring 3 takes, in ticks of the time-stamp counter, where the kernel's handler
/// maps a page that is ready: of many, one after the other.
std::uint64_t ticks_of_page_fault();

}  // namespace kern::bench
