// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <functional>
#include <thread>
#include <vector>

#include "kern/arch/host/fake.hh"

/// Cases on several CPUs.
namespace lab {

/// A flag or a count between threads that orders nothing, so that ThreadSanitizer sees races behind
/// it.
class Signal {
   public:
    void raise() { value_.fetch_add(1, std::memory_order_relaxed); }
    unsigned count() const { return value_.load(std::memory_order_relaxed); }
    bool raised() const { return count() > 0; }

   private:
    std::atomic<unsigned> value_{0};
};

/// Runs functions at the same time, each on a CPU of its own: 1, 2, ... None begins before all
/// CPUs are there.
inline void on_cpus(const std::vector<std::function<void()>>& work) {
    std::vector<std::thread> threads;
    std::atomic<std::size_t> ready{0};
    for (unsigned i = 0; i < work.size(); ++i)
        threads.emplace_back([&work, &ready, i] {
            kern::arch::fake::enter_cpu(i + 1);
            ready.fetch_add(1, std::memory_order_relaxed);
            while (ready.load(std::memory_order_relaxed) < work.size()) std::this_thread::yield();
            work[i]();
        });
    for (auto& thread : threads) thread.join();
}
/// Runs `work(cpu)` so on CPUs 1 to `count`.
inline void on_cpus(unsigned count, const std::function<void(unsigned cpu)>& work) {
    std::vector<std::function<void()>> each;
    for (unsigned cpu = 1; cpu <= count; ++cpu) each.emplace_back([&work, cpu] { work(cpu); });
    on_cpus(each);
}

}  // namespace lab
