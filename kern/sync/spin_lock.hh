// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>

#include "kern/arch/arch.hh"
#include "kern/lib/panic.hh"

namespace kern {

/// A mutual-exclusion lock that spins. Interrupts stay disabled while it is held, so an interrupt
/// handler may take the same lock. Not recursive: in debug builds taking it twice on one CPU
/// panics.
class SpinLock {
   public:
    constexpr SpinLock() = default;
    SpinLock(const SpinLock&) = delete;
    SpinLock& operator=(const SpinLock&) = delete;

    /// Waits until it holds the lock; disables interrupts.
    void lock();
    /// Gives the lock back; interrupts are then as they were before lock().
    void unlock();
    /// Whether the calling CPU holds the lock. For assertions; always true in release builds.
    bool is_held() const;

   private:
    static constexpr unsigned nobody = 0;  // so that a lock of all-zero bytes is a free one
    std::atomic<bool> locked_{false};
    std::atomic<unsigned> owner_{nobody};  // the holder's CPU number plus 1
    bool interrupts_were_enabled_ = false;
};

/// Holds a lock for the length of a scope.
template <class Lock>
class [[nodiscard]] LockGuard {
   public:
    /// Takes `lock`, which must live longer than this.
    explicit LockGuard(Lock& lock) : lock_{lock} { lock_.lock(); }
    ~LockGuard() { lock_.unlock(); }
    LockGuard(const LockGuard&) = delete;
    LockGuard& operator=(const LockGuard&) = delete;

   private:
    Lock& lock_;
};

}  // namespace kern
