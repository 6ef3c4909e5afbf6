// SPDX-License-Identifier: MIT
#include "kern/sync/raise_to.hh"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <thread>

namespace kern {
namespace {

/// A counter which an interrupt handler raises too: right before the operation of this number.
class InterruptedCounter {
   public:
    InterruptedCounter(unsigned at, std::uint64_t raised_to)
        : operations_left_{at}, raised_to_{raised_to} {}

    std::uint64_t load(std::memory_order order) {
        step();
        return value_.load(order);
    }
    void store(std::uint64_t value, std::memory_order order) {
        step();
        value_.store(value, order);
    }
    bool compare_exchange_weak(std::uint64_t& expected, std::uint64_t value,
                               std::memory_order success, std::memory_order failure) {
        step();
        return value_.compare_exchange_weak(expected, value, success, failure);
    }

    bool was_interrupted() const { return interrupted_; }
    std::uint64_t value() const { return value_.load(); }

   private:
    void step() {
        if (interrupted_ || operations_left_-- != 0) return;
        interrupted_ = true;
        raise_to(value_, raised_to_);
    }

    std::atomic<std::uint64_t> value_{0};
    unsigned operations_left_;
    std::uint64_t raised_to_;
    bool interrupted_ = false;
};

TEST(RaiseTo, GoesUpAndNeverBack) {
    std::atomic<std::uint64_t> counter{3};
    raise_to(counter, 7);
    EXPECT_EQ(counter, 7U);
    raise_to(counter, 5);
    EXPECT_EQ(counter, 7U);
}

TEST(RaiseTo, IsNotUndoneWhereverItInterruptsItself) {
    unsigned at = 0;
    while (true) {
        SCOPED_TRACE(at);
        InterruptedCounter counter{at, 2};
        raise_to(counter, 1);
        if (!counter.was_interrupted()) break;
        EXPECT_EQ(counter.value(), 2U) << "the interrupt's answer is lost";
        ++at;
    }
    EXPECT_GE(at, 2U) << "nothing was tried";
}

TEST(RaiseTo, ReachesTheHighestOfSeveralThreads) {
    constexpr std::uint64_t last = 20'000;
    std::atomic<std::uint64_t> counter{0};
    std::atomic<unsigned> went_back{0};
    std::array<std::thread, 3> threads;
    for (std::uint64_t lag = 0; lag < threads.size(); ++lag)
        threads.at(lag) = std::thread{[&counter, &went_back, lag] {
            std::uint64_t before = 0;
            for (std::uint64_t value = 1; value <= last; ++value) {
                raise_to(counter, value - std::min(value, lag));
                const std::uint64_t now = counter.load(std::memory_order_acquire);
                if (now < before) ++went_back;
                before = now;
            }
        }};
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(counter, last);
    EXPECT_EQ(went_back, 0U);
}

}  // namespace
}  // namespace kern
