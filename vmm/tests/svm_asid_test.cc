// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include <map>
#include <vector>

#include "vmm/svm/asid.hh"

namespace vmm::svm {
namespace {

TEST(SvmAsid, TheFirstOneFlushesWhatWasThereBefore) {
    AsidAllocator cpu{0, 16};
    AsidTag tag;
    EXPECT_TRUE(cpu.assign(tag));
    EXPECT_EQ(tag.asid, 1U);
}

TEST(SvmAsid, AVcpuThatStaysKeepsItsOwn) {
    AsidAllocator cpu{0, 16};
    AsidTag tag, other;
    (void)cpu.assign(tag);
    (void)cpu.assign(other);
    const auto before = tag.asid;
    EXPECT_FALSE(cpu.assign(tag));
    EXPECT_EQ(tag.asid, before);
    EXPECT_NE(other.asid, before);
}

TEST(SvmAsid, AVcpuThatMovedGetsAFreshOneOnEachCpu) {
    AsidAllocator first{0, 16};
    AsidAllocator second{1, 16};
    AsidTag tag, neighbour;
    (void)first.assign(tag);
    (void)first.assign(neighbour);
    const auto before = tag.asid;
    EXPECT_TRUE(second.assign(tag)) << "the second CPU has never been flushed";
    EXPECT_FALSE(first.assign(tag));
    EXPECT_NE(tag.asid, before) << "what it cached on the first CPU may be stale";
    EXPECT_NE(tag.asid, neighbour.asid);
}

// The rule that matters: between two vCPUs that use one number on one CPU there is a flush, and
// nobody gets 0 or a number that the CPU does not have.
TEST(SvmAsid, NoNumberChangesHandsWithoutAFlush) {
    constexpr std::uint32_t count = 16;
    AsidAllocator cpu{0, count};
    std::vector<AsidTag> tags(40);
    std::map<std::uint32_t, std::size_t> user;  // since the last flush
    std::uint32_t random = 1;
    unsigned flushes = 0;
    for (int step = 0; step < 2000; ++step) {
        random = random * 1664525 + 1013904223;
        const std::size_t who = (random >> 16) % tags.size();
        if (cpu.assign(tags[who])) {
            user.clear();
            ++flushes;
        }
        const auto asid = tags[who].asid;
        ASSERT_GE(asid, 1U);
        ASSERT_LT(asid, count);
        const auto [entry, is_new] = user.emplace(asid, who);
        ASSERT_TRUE(is_new || entry->second == who) << "ASID " << asid << " at step " << step;
    }
    EXPECT_GT(flushes, 10U);
    EXPECT_LE(flushes, 2000 / (count - 1) + 1) << "flushed before all numbers were used";
}

TEST(SvmAsid, TheSmallestCpuHasOneForGuests) {
    AsidAllocator cpu{0, 2};
    AsidTag a, b;
    EXPECT_TRUE(cpu.assign(a));
    EXPECT_TRUE(cpu.assign(b));
    EXPECT_TRUE(cpu.assign(a));
    EXPECT_EQ(a.asid, 1U);
    EXPECT_EQ(b.asid, 1U);
}

}  // namespace
}  // namespace vmm::svm
