// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

namespace user {

/// The time-stamp counter of this CPU.
inline std::uint64_t cycles() {
    std::uint32_t low = 0, high = 0;
    asm volatile("rdtsc" : "=a"(low), "=d"(high) : : "memory");
    return std::uint64_t{high} << 32 | low;
}

}  // namespace user
