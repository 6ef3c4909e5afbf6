// SPDX-License-Identifier: MIT
// The second-level table on several CPUs, for ThreadSanitizer and, for freed frames,
// AddressSanitizer.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <thread>
#include <vector>

#include "kern/arch/host/fake.hh"
#include "vmm/frame_owners.hh"
#include "vmm/paging/second_level_table.hh"

namespace vmm {
namespace {

constexpr unsigned cpus = 4;
constexpr std::uint64_t pages = 64;

/// Far enough apart that each needs a table of its own, so that CPUs meet while they make tables.
constexpr Gpa page_number(std::uint64_t number) {
    return Gpa{number * kern::large_page_size};
}

template <class Work>
void on_all_cpus(Work work) {
    std::vector<std::thread> threads;
    for (unsigned cpu = 1; cpu <= cpus; ++cpu)
        threads.emplace_back([cpu, &work] {
            kern::arch::fake::enter_cpu(cpu);
            work(cpu);
        });
    for (auto& thread : threads) thread.join();
}

class PagingRace : public ::testing::Test {
   protected:
    void SetUp() override {
        kern::arch::fake::reset({.arena_bytes = 16 << 20, .cpus = cpus + 1});
        before_ = kern::frames().accounts();
    }
    void TearDown() override { EXPECT_EQ(kern::frames().accounts(), before_); }

   private:
    kern::FrameAccounts before_{};
};

TEST_F(PagingRace, OneOfSeveralMapsWins) {
    auto table = *SecondLevelTable::create(npt_format);
    std::atomic<std::uint64_t> won{0};
    on_all_cpus([&](unsigned cpu) {
        for (std::uint64_t i = 0; i < pages; ++i) {
            auto frame = *kern::Frame::allocate(frame_owner::guest_memory);
            frame.bytes()[0] = std::byte(cpu);
            if (table.map(page_number(i), frame.address(), read_write_execute)) {
                frame.release();
                won.fetch_add(1, std::memory_order_relaxed);
            }
            // Whoever mapped it: what is in the page was written before it was published.
            const auto found = table.lookup(page_number(i));
            ASSERT_TRUE(found);
            EXPECT_NE(*kern::arch::direct_map(found->address), std::byte{0});
        }
    });
    EXPECT_EQ(won.load(), pages);
    EXPECT_EQ(table.present_pages(), pages);
}

TEST_F(PagingRace, LookupsSeeWholeEntriesWhileOthersChangeThem) {
    auto table = *SecondLevelTable::create(ept_format);
    std::array<Hpa, 2> frames;
    for (auto& frame : frames) frame = *kern::frames().allocate(frame_owner::guest_memory);
    std::atomic<bool> done{false};
    on_all_cpus([&](unsigned cpu) {
        if (cpu == 1) {
            for (int i = 0; i < 500; ++i) {
                const Hpa frame = frames[i % 2];
                ASSERT_TRUE(table.map(Gpa{0x1000}, frame, read_write_execute));
                ASSERT_TRUE(table.protect(Gpa{0x1000}, read_execute));
                ASSERT_TRUE(table.unmap(Gpa{0x1000}));
            }
            done.store(true, std::memory_order_relaxed);
            return;
        }
        while (!done.load(std::memory_order_relaxed)) {
            const auto found = table.lookup(Gpa{0x1000});
            if (!found) continue;
            EXPECT_TRUE(found->address == frames[0] || found->address == frames[1]);
            EXPECT_TRUE(found->permission == read_write_execute ||
                        found->permission == read_execute);
        }
    });
    for (const Hpa frame : frames) kern::frames().free(frame_owner::guest_memory, frame);
}

TEST_F(PagingRace, OneOfSeveralUnmapsGetsThePage) {
    auto table = *SecondLevelTable::create(npt_format);
    for (std::uint64_t i = 0; i < pages; ++i) {
        const Hpa frame = *kern::frames().allocate(frame_owner::guest_memory);
        ASSERT_TRUE(table.map(page_number(i), frame, read_only));
    }
    on_all_cpus([&](unsigned) {
        for (std::uint64_t i = 0; i < pages; ++i)
            if (const auto mine = table.unmap(page_number(i)))
                kern::frames().free(frame_owner::guest_memory, mine->address);
    });
    EXPECT_EQ(table.present_pages(), 0U);
}

}  // namespace
}  // namespace vmm
