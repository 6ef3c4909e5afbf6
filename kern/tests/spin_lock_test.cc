// SPDX-License-Identifier: MIT
#include "kern/sync/spin_lock.hh"

#include <gtest/gtest.h>

#include <thread>

#include "kern/arch/host/fake.hh"

namespace kern {
namespace {

TEST(SpinLock, DisablesInterruptsWhileHeld) {
    arch::fake::reset();
    SpinLock outer;
    SpinLock inner;
    EXPECT_FALSE(outer.is_held());
    {
        const LockGuard guard{outer};
        EXPECT_TRUE(outer.is_held());
        EXPECT_FALSE(arch::fake::interrupts_enabled());
        {
            const LockGuard nested{inner};
        }
        EXPECT_FALSE(arch::fake::interrupts_enabled()) << "the outer lock is still held";
    }
    EXPECT_TRUE(arch::fake::interrupts_enabled());
    EXPECT_FALSE(outer.is_held());

    arch::disable_interrupts();
    {
        const LockGuard guard{outer};
    }
    EXPECT_FALSE(arch::fake::interrupts_enabled()) << "as they were before";
}

TEST(SpinLock, IsHeldByOneCpu) {
    arch::fake::reset();
    SpinLock lock;
    const LockGuard guard{lock};
    std::thread{[&] {
        arch::fake::enter_cpu(1);
        EXPECT_FALSE(lock.is_held());
    }}.join();
}

TEST(SpinLockDeathTest, MisuseIsFatal) {
    arch::fake::reset();
    SpinLock lock;
    EXPECT_DEATH(lock.unlock(), "does not hold it");
    const LockGuard guard{lock};
    EXPECT_DEATH(lock.lock(), "self-deadlock");
}

}  // namespace
}  // namespace kern
