// SPDX-License-Identifier: MIT
// The explorer finds what it must find, tells it, finds it again, and leaves right code alone.
#include "kern/arch/explore/explore.hh"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <vector>

#include "kern/arch/arch.hh"
#include "kern/arch/explore/schedule.hh"
#include "kern/arch/host/fake.hh"
#include "kern/lib/panic.hh"
#include "kern/mm/frame_allocator.hh"
#include "kern/sync/spin_lock.hh"

namespace kern {
namespace {

using explore::Exploration;

std::string part(const std::string& story, const std::string& what) {
    return story.find(what) == std::string::npos ? "no \"" + what + "\" in\n" + story : "";
}

/// The schedule that a story tells of, for NEST_SCHEDULE.
std::string number_in(const std::string& story) {
    const std::size_t at = story.find("NEST_SCHEDULE=") + 14;
    return story.substr(at, story.find(' ', at) - at);
}

class Explore : public ::testing::Test {
   protected:
    void SetUp() override { arch::fake::reset({.arena_bytes = 1 << 20, .cpus = 4}); }
    Exploration all{"explore_test.cc"};
};

TEST_F(Explore, FindsALostUpdateWithOnePreemption) {
    int count = 0;
    for (int cpu = 0; cpu < 2; ++cpu) all.cpu([&] { ++count; });
    all.at_end([&] {
        if (count != 2) explore::broken("the count is " + std::to_string(count));
    });
    const auto found = all.run(1);
    EXPECT_FALSE(found.holds);
    EXPECT_EQ(part(found.story, "the count is 1"), "");
    EXPECT_EQ(part(found.story, "CPU 1 "), "");
    EXPECT_EQ(part(found.story, "reads 4 bytes"), "");
    EXPECT_EQ(part(found.story, "explore_test.cc"), "");
    EXPECT_EQ(part(found.story, "-2 of"), "") << "one turn is enough";
    EXPECT_EQ(count, 0) << "what a schedule changes is put back";
}

TEST_F(Explore, RunsAScheduleAgainByItsNumber) {
    int count = 0;
    for (int cpu = 0; cpu < 2; ++cpu) all.cpu([&] { ++count; });
    all.at_end([&] {
        if (count != 2) explore::broken("lost");
    });
    setenv("NEST_SCHEDULE", number_in(all.run(1).story).c_str(), 1);
    const auto again = all.run(1);
    EXPECT_FALSE(again.holds);
    EXPECT_EQ(part(again.story, "lost"), "");
    setenv("NEST_SCHEDULE", "2", 1);
    const auto other = all.run(1);
    EXPECT_TRUE(other.holds);
    EXPECT_EQ(part(other.story, "nothing was broken"), "");
    setenv("NEST_SCHEDULE", "2,", 1);
    EXPECT_FALSE(all.run(1).holds);
    unsetenv("NEST_SCHEDULE");
}

// NOLINTNEXTLINE(misc-no-recursion)
[[gnu::noinline]] void count_below(unsigned calls, int& count) {
    if (calls != 0) return count_below(calls - 1, count);
    ++count;
}

TEST_F(Explore, IsTheSameTheFirstTimeWhateverItHoldsItself) {
    // The explorer keeps a vector of the functions that are under way. It grows in the first schedule
    // and not afterwards. Because of this one, of the same type, the linker takes instrumented code
    // for both.
    std::vector<std::uintptr_t> instrumented;
    for (std::uintptr_t one = 0; one < 40; ++one) instrumented.push_back(one);
    int count = 0;
    for (int cpu = 0; cpu < 2; ++cpu) all.cpu([&] { count_below(40, count); });
    all.at_end([&] {
        if (count != 2) explore::broken("lost");
    });
    setenv("NEST_SCHEDULE", number_in(all.run(1).story).c_str(), 1);
    EXPECT_EQ(part(all.run(1).story, "lost"), "");
    unsetenv("NEST_SCHEDULE");
}

TEST_F(Explore, LeavesAtomicsAndLocksAlone) {
    std::atomic<int> atomic{0};
    int plain = 0;
    SpinLock lock;
    for (int cpu = 0; cpu < 3; ++cpu)
        all.cpu([&] {
            atomic.fetch_add(1);
            const LockGuard guard{lock};
            ++plain;
        });
    all.at_end([&] {
        if (atomic != 3 || plain != 3) explore::broken("lost");
    });
    const auto found = all.run(2);
    EXPECT_TRUE(found.holds) << found.story;
    EXPECT_GT(found.schedules, 10U);
}

TEST_F(Explore, NeedsTwoPreemptionsForTwo) {
    // CPU 1 must be stopped between its stores, and CPU 2 between its loads.
    std::atomic<int> first{0}, second{0};
    int seen_first = 0, seen_second = 0;
    all.cpu([&] {
        first = 1;
        second = 1;
        first = 2;
        second = 2;
    });
    all.cpu([&] {
        seen_first = first;
        seen_second = second;
    });
    all.at_end([&] {
        if (seen_first == 1 && seen_second == 2) explore::broken("both");
    });
    EXPECT_FALSE(all.run(2).holds);
}

TEST_F(Explore, FindsADeadlockAndSaysWhoWaitsForWhom) {
    SpinLock one, other;
    all.cpu([&] {
        const LockGuard first{one};
        const LockGuard second{other};
    });
    all.cpu([&] {
        const LockGuard first{other};
        const LockGuard second{one};
    });
    const auto found = all.run(2);
    EXPECT_FALSE(found.holds);
    EXPECT_EQ(part(found.story, "CPU 1 waits for a lock that CPU 2 holds"), "");
    EXPECT_TRUE(arch::fake::interrupts_enabled());
}

TEST_F(Explore, FindsAWaitThatNobodyEnds) {
    std::atomic<bool> ready{false};
    all.cpu([&] {
        while (!ready) arch::relax();
    });
    all.cpu([] {});
    EXPECT_EQ(part(all.run(1).story, "waits (kern::arch::relax)"), "");

    Exploration with_condition{"explore_test.cc"};
    with_condition.cpu([&] { explore::wait_until("the flag", [&] { return ready.load(); }); });
    EXPECT_EQ(part(with_condition.run(1).story, "CPU 1 waits for the flag"), "");
}

TEST_F(Explore, GivesTheTurnAwayWhereACpuWaits) {
    std::atomic<bool> ready{false};
    bool seen = false;
    all.cpu([&] {
        while (!ready) arch::relax();
        seen = true;
    });
    all.cpu([&] {
        while (!ready) {  // without a word to the CPU
            if (arch::cpu_index() == 2) ready = true;
        }
    });
    all.at_end([&] {
        if (!seen) explore::broken("it never woke");
    });
    const auto found = all.run(2);
    EXPECT_TRUE(found.holds) << found.story;
}

TEST_F(Explore, TellsPanicsAndFaults) {
    all.cpu([] { check(arch::cpu_index() != 1, "an invariant"); });
    EXPECT_EQ(part(all.run(0).story, "the kernel panics: an invariant"), "");

    Exploration with_fault{"explore_test.cc"};
    volatile int* nowhere = nullptr;
    with_fault.cpu([&] { *nowhere = 1; });
    for (int i = 0; i < 2; ++i)
        EXPECT_EQ(part(with_fault.run(0).story, "touches memory that is not there, at 0x0"), "");
}

TEST_F(Explore, PutsTheMachinesMemoryBack) {
    const auto before = frames().accounts();
    for (int cpu = 0; cpu < 2; ++cpu)
        all.cpu([&] {
            const auto frame = frames().allocate(frame_owner::test);
            if (!frame || *arch::direct_map(*frame) != std::byte{0}) explore::broken("no frame");
            *arch::direct_map(*frame) = std::byte{1};
        });
    all.at_end([&] {
        if (frames().accounts()[frame_owner::test.index] != 2) explore::broken("accounts");
    });
    const auto found = all.run(2);
    EXPECT_TRUE(found.holds) << found.story;
    EXPECT_EQ(frames().accounts(), before);
}

TEST(ExploreSchedule, HasANumber) {
    const explore::Schedule schedule{
        .first = 2,
        .turns = {{.cpu = 2, .at = 34, .to = 1}, {.cpu = 1, .at = 5, .to = 3, .gives_way = true}}};
    EXPECT_EQ(schedule.number(), "2,2@34-1,1@5+3");
    EXPECT_EQ(explore::Schedule::from_number("2,2@34-1,1@5+3")->number(), schedule.number());
    for (const char* wrong : {"", "x", "1,", "1,2", "1,2@", "1,2@3", "1,2@3-", "1,2@3-4,", "1 "})
        EXPECT_FALSE(explore::Schedule::from_number(wrong)) << wrong;
}

}  // namespace
}  // namespace kern
