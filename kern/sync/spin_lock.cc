// SPDX-License-Identifier: MIT
#include "kern/sync/spin_lock.hh"

namespace kern {

void SpinLock::lock() {
    const bool interrupts_were_enabled = arch::disable_interrupts();
    const unsigned self = arch::cpu_index() + 1;
#ifdef NEST_DEBUG
    // Only this CPU can have stored its own number, so the answer cannot be out of date.
    check(owner_.load(std::memory_order_relaxed) != self,
          "self-deadlock: this CPU already holds the spin lock that it takes");
#endif
    while (locked_.exchange(true, std::memory_order_acquire)) {
        // Wait by reading: a CPU that writes all the time takes the cache line from the holder.
        while (locked_.load(std::memory_order_relaxed)) arch::relax();
    }
    owner_.store(self, std::memory_order_relaxed);
    interrupts_were_enabled_ = interrupts_were_enabled;
}

void SpinLock::unlock() {
    check(is_held(), "a spin lock is released by a CPU that does not hold it");
    const bool interrupts_were_enabled = interrupts_were_enabled_;
    owner_.store(nobody, std::memory_order_relaxed);
    locked_.store(false, std::memory_order_release);
    arch::restore_interrupts(interrupts_were_enabled);
}

bool SpinLock::is_held() const {
#ifdef NEST_DEBUG
    return owner_.load(std::memory_order_relaxed) == arch::cpu_index() + 1;
#else
    return true;
#endif
}

}  // namespace kern
