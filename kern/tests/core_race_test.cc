// SPDX-License-Identifier: MIT
// Several CPUs at once, under ThreadSanitizer.
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "kern/arch/host/fake.hh"
#include "kern/fs/block_device.hh"
#include "kern/lib/print.hh"
#include "kern/mm/frame_allocator.hh"
#include "kern/mm/heap.hh"
#include "kern/sync/spin_lock.hh"

namespace kern {
namespace {

constexpr unsigned cpus = 4;

/// Runs `work(cpu)` on CPUs 1 to `cpus` at once.
template <class Work>
void on_all_cpus(Work work) {
    std::vector<std::thread> threads;
    for (unsigned cpu = 1; cpu <= cpus; ++cpu) {
        threads.emplace_back([work, cpu] {
            arch::fake::enter_cpu(cpu);
            work(cpu);
        });
    }
    for (std::thread& thread : threads) thread.join();
}

TEST(CoreRace, SpinLockExcludes) {
    arch::fake::reset({.cpus = cpus + 1});
    SpinLock lock;
    unsigned counter = 0;
    on_all_cpus([&](unsigned) {
        for (int i = 0; i < 2000; ++i) {
            const LockGuard guard{lock};
            ++counter;
        }
    });
    EXPECT_EQ(counter, 2000 * cpus);
}

TEST(CoreRace, NoFrameHasTwoOwners) {
    arch::fake::reset({.arena_bytes = 64 * page_size, .cpus = cpus + 1});
    const FrameAccounts before = frames().accounts();
    std::atomic<bool> clean{true};
    on_all_cpus([&](unsigned cpu) {
        std::vector<Hpa> mine;
        for (int i = 0; i < 1000; ++i) {
            if (const auto frame = frames().allocate(frame_owner::test)) {
                std::byte* const bytes = arch::direct_map(*frame);
                if (bytes[0] != std::byte{0}) clean = false;
                bytes[0] = static_cast<std::byte>(cpu);
                mine.push_back(*frame);
            }
            if (mine.size() > 12) {
                for (const Hpa frame : mine) {
                    if (*arch::direct_map(frame) != static_cast<std::byte>(cpu)) clean = false;
                    frames().free(frame_owner::test, frame);
                }
                mine.clear();
            }
        }
        for (const Hpa frame : mine) frames().free(frame_owner::test, frame);
    });
    EXPECT_TRUE(clean) << "a frame was not zeroed, or two CPUs had it at once";
    EXPECT_EQ(frames().accounts(), before);
}

TEST(CoreRace, HeapServesAllCpus) {
    arch::fake::reset({.cpus = cpus + 1});
    Heap heap;
    on_all_cpus([&](unsigned cpu) {
        for (std::size_t i = 0; i < 500; ++i) {
            auto* const small = static_cast<unsigned*>(heap.allocate(16 + i % 300));
            auto* const large = static_cast<unsigned*>(heap.allocate(5000));
            *small = *large = cpu;
            EXPECT_EQ(*small, cpu);
            heap.free(small);  // and perhaps the slab's frame with it
            EXPECT_EQ(*large, cpu);
            heap.free(large);
        }
    });
    EXPECT_EQ(frames().accounts()[frame_owner::heap.index], 0U);
}

TEST(CoreRace, LinesDoNotMix) {
    arch::fake::reset({.cpus = cpus + 1});
    // Longer than what kprint writes at once.
    const std::string line(500, '.');
    on_all_cpus([&](unsigned cpu) {
        for (int i = 0; i < 20; ++i) kprint("{}{}{}\n", cpu, std::string_view{line}, cpu);
    });
    std::istringstream console{arch::fake::console()};
    unsigned count = 0;
    for (std::string seen; std::getline(console, seen); ++count) {
        ASSERT_EQ(seen.size(), line.size() + 2);
        ASSERT_EQ(seen.front(), seen.back());
        ASSERT_EQ(seen.substr(1, line.size()), line);
    }
    EXPECT_EQ(count, 20 * cpus);
}

TEST(CoreRace, WorkRunsOnOtherCpusAndIsWoken) {
    arch::fake::reset({.cpus = 2});
    struct Shared {
        std::atomic<unsigned> cpu{0};
        int result = 0;  // not atomic: join() is what publishes it
    } shared;
    const auto work = [](void* context) {
        auto& to = *static_cast<Shared*>(context);
        to.cpu = arch::cpu_index();
        arch::disable_interrupts();
        arch::wait_for_interrupt();
        arch::restore_interrupts(true);
        to.result = 42;
    };
    EXPECT_FALSE(arch::start_on(0, work, &shared));
    EXPECT_FALSE(arch::start_on(2, work, &shared)) << "no such CPU";
    EXPECT_TRUE(arch::start_on(1, work, &shared));
    EXPECT_FALSE(arch::start_on(1, work, &shared)) << "busy";
    EXPECT_FALSE(arch::is_idle(1));
    arch::kick(1);
    arch::fake::join();
    EXPECT_TRUE(arch::is_idle(1));
    EXPECT_EQ(shared.cpu, 1U);
    EXPECT_EQ(shared.result, 42);
}

}  // namespace
}  // namespace kern
