// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include <map>
#include <vector>

#include "vmm/vmx/asid.hh"

namespace vmm::vmx {
namespace {

TEST(VmxVpid, TheFirstOneFlushesWhatWasThereBefore) {
    VpidAllocator cpu{0};
    VpidTag tag;
    EXPECT_EQ(cpu.assign(tag), Flush::Everything);
    EXPECT_EQ(tag.vpid, 1U);
}

TEST(VmxVpid, AVcpuThatStaysKeepsItsOwn) {
    VpidAllocator cpu{0};
    VpidTag tag, other;
    (void)cpu.assign(tag);
    EXPECT_EQ(cpu.assign(other), Flush::Table) << "its table may have another VM's old frames";
    const auto before = tag.vpid;
    EXPECT_EQ(cpu.assign(tag), Flush::Nothing);
    EXPECT_EQ(tag.vpid, before);
    EXPECT_NE(other.vpid, before);
}

TEST(VmxVpid, AVcpuThatMovedGetsAFreshOneOnEachCpu) {
    VpidAllocator first{0};
    VpidAllocator second{1};
    VpidTag tag, neighbour;
    (void)first.assign(tag);
    (void)first.assign(neighbour);
    const auto before = tag.vpid;
    EXPECT_EQ(second.assign(tag), Flush::Everything) << "the second CPU has never been flushed";
    EXPECT_EQ(first.assign(tag), Flush::Table);
    EXPECT_NE(tag.vpid, before) << "what it cached on the first CPU may be stale";
    EXPECT_NE(tag.vpid, neighbour.vpid);
}

// The rule that matters: between two vCPUs that use one number on one CPU there is a flush of
// everything, and nobody gets 0.
TEST(VmxVpid, NoNumberChangesHandsWithoutAFlush) {
    constexpr std::uint32_t count = 16;
    VpidAllocator cpu{0, count};
    std::vector<VpidTag> tags(40);
    std::map<std::uint32_t, std::size_t> user;  // since the last flush
    std::uint32_t random = 1;
    unsigned flushes = 0;
    for (int step = 0; step < 2000; ++step) {
        random = random * 1664525 + 1013904223;
        const std::size_t who = (random >> 16) % tags.size();
        if (cpu.assign(tags[who]) == Flush::Everything) {
            user.clear();
            ++flushes;
        }
        const auto vpid = tags[who].vpid;
        ASSERT_GE(vpid, 1U);
        ASSERT_LT(vpid, count);
        const auto [entry, is_new] = user.emplace(vpid, who);
        ASSERT_TRUE(is_new || entry->second == who) << "VPID " << vpid << " at step " << step;
    }
    EXPECT_GT(flushes, 10U);
    EXPECT_LE(flushes, 2000 / (count - 1) + 1) << "flushed before all numbers were used";
}

TEST(VmxVpid, TheLastOfSixteenBitsIsFollowedByTheFirst) {
    VpidAllocator cpu{0};
    VpidTag tag;
    for (std::uint32_t i = 1; i < VpidAllocator::all; ++i) {
        tag = {};
        (void)cpu.assign(tag);
    }
    EXPECT_EQ(tag.vpid, 0xffff);
    tag = {};
    EXPECT_EQ(cpu.assign(tag), Flush::Everything);
    EXPECT_EQ(tag.vpid, 1);
}

}  // namespace
}  // namespace vmm::vmx
