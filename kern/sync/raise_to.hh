// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstdint>

namespace kern {

/// Stores `value` in `counter` unless the counter is there already or beyond. Whoever comes in the
/// middle, an interrupt handler or another CPU, may do the same: the counter never goes back. What
/// was written before is seen by whoever reads the counter with acquire.
/// @tparam Counter  std::atomic<std::uint64_t>, or a test's stand-in for it
template <class Counter>
void raise_to(Counter& counter, std::uint64_t value) {
    std::uint64_t seen = counter.load(std::memory_order_relaxed);
    while (seen < value && !counter.compare_exchange_weak(seen, value, std::memory_order_release,
                                                          std::memory_order_relaxed)) {
    }
}

}  // namespace kern
