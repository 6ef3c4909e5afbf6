// SPDX-License-Identifier: MIT
#include "kern/mm/frame_allocator.hh"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <utility>
#include <vector>

#include "kern/arch/host/fake.hh"

namespace kern {
namespace {

constexpr FrameOwner owner = frame_owner::test;
constexpr FrameOwner other = frame_owner::stack;

/// An arena of 64 pages: two are never used, one is the table's.
class FrameAllocatorTest : public ::testing::Test {
   protected:
    static constexpr std::uint64_t usable = 64 - 2 - 1;
    void SetUp() override { arch::fake::reset(64 * page_size); }

    static std::vector<Hpa> take_all() {
        std::vector<Hpa> all;
        while (const auto frame = frames().allocate(owner)) all.push_back(*frame);
        return all;
    }
    static bool is_zero(Hpa frame) {
        const std::span bytes{arch::direct_map(frame), page_size};
        return std::ranges::all_of(bytes, [](std::byte byte) { return byte == std::byte{0}; });
    }
};

TEST_F(FrameAllocatorTest, HandsOutEachFrameOnce) {
    EXPECT_EQ(frames().available(), usable);
    EXPECT_EQ(frames().accounts()[frame_owner::kernel.index], 1U) << "the table";
    const std::vector<Hpa> all = take_all();
    EXPECT_EQ(all.size(), usable);
    EXPECT_EQ(std::set(all.begin(), all.end()).size(), usable);
    for (const Hpa frame : all) {
        EXPECT_TRUE(frame.is_aligned());
        EXPECT_TRUE(arch::fake::is_memory(frame));
        EXPECT_TRUE(frames().is_owned_by(owner, frame));
        EXPECT_FALSE(frames().is_owned_by(other, frame));
    }
    EXPECT_EQ(frames().available(), 0U);
    EXPECT_EQ(frames().accounts()[owner.index], usable);
    EXPECT_EQ(frames().in_use(), usable + 1);
    EXPECT_EQ(frames().allocate(owner).error(), Error::OutOfMemory);

    for (const Hpa frame : all) frames().free(owner, frame);
    EXPECT_EQ(frames().available(), usable);
    EXPECT_EQ(frames().in_use(), 1U);
    EXPECT_FALSE(frames().is_owned_by(owner, all.front()));
}

TEST_F(FrameAllocatorTest, FindsTheOneFreeFrameWhereverItIs) {
    for (const Hpa frame : take_all()) {
        frames().free(owner, frame);
        EXPECT_EQ(frames().allocate(owner), frame);
    }
}

TEST_F(FrameAllocatorTest, FramesAreZeroed) {
    for (const Hpa frame : take_all()) {
        EXPECT_TRUE(is_zero(frame));
        std::fill_n(arch::direct_map(frame), page_size, std::byte{0xaa});
        frames().free(owner, frame);
    }
    for (const Hpa frame : take_all()) EXPECT_TRUE(is_zero(frame));
}

TEST_F(FrameAllocatorTest, RunsAreContiguousAlignedAndZeroed) {
    for (const std::uint64_t alignment : {1, 2, 4, 8, 16}) {
        const auto run = frames().allocate_run(owner, 5, alignment);
        ASSERT_TRUE(run);
        EXPECT_TRUE(run->is_aligned(alignment * page_size)) << alignment;
        for (std::uint64_t i = 0; i < 5; ++i) {
            EXPECT_TRUE(frames().is_owned_by(owner, *run + i * page_size));
            EXPECT_TRUE(is_zero(*run + i * page_size));
        }
        frames().free_run(owner, *run, 5);
    }
    EXPECT_EQ(frames().available(), usable);
}

TEST_F(FrameAllocatorTest, RunsFitIntoHolesOnly) {
    std::vector<Hpa> all = take_all();
    std::ranges::sort(all);
    for (std::size_t i = 0; i < all.size(); i += 2) frames().free(owner, all[i]);
    EXPECT_EQ(frames().allocate_run(owner, 2).error(), Error::OutOfMemory) << "only single frames";
    frames().free(owner, all[21]);  // now 20, 21 and 22 are free
    EXPECT_EQ(frames().allocate_run(owner, 3), all[20]);
    EXPECT_EQ(frames().allocate_run(owner, usable + 1).error(), Error::OutOfMemory);
    EXPECT_EQ(frames().allocate_run(owner, ~0ULL).error(), Error::OutOfMemory);
    EXPECT_EQ(frames().allocate_run(owner, 0).error(), Error::InvalidArgument);
    EXPECT_EQ(frames().allocate_run(owner, 1, 3).error(), Error::InvalidArgument);
    EXPECT_EQ(frames().allocate_run(owner, 1, 0).error(), Error::InvalidArgument);
    EXPECT_EQ(frames().allocate_run(owner, 1, 1ULL << 63).error(), Error::OutOfMemory);
}

TEST_F(FrameAllocatorTest, FailsFromTheGivenRequestOn) {
    const std::uint64_t before = frames().requests();
    frames().fail_from(3);
    EXPECT_TRUE(frames().allocate(owner));
    EXPECT_TRUE(frames().allocate_run(owner, 2));
    EXPECT_EQ(frames().allocate(owner).error(), Error::OutOfMemory);
    EXPECT_EQ(frames().allocate_run(owner, 1).error(), Error::OutOfMemory);
    frames().fail_from(0);
    EXPECT_TRUE(frames().allocate(owner));
    EXPECT_EQ(frames().requests(), before + 5) << "failed requests count too";
    EXPECT_EQ(frames().accounts()[owner.index], 4U) << "failed requests take nothing";
}

TEST_F(FrameAllocatorTest, FrameGivesItselfBack) {
    {
        auto frame = Frame::allocate(owner);
        ASSERT_TRUE(frame);
        frame->bytes()[0] = std::byte{1};
        const Frame moved{std::move(*frame)};
        EXPECT_EQ(frames().accounts()[owner.index], 1U);
    }
    EXPECT_EQ(frames().accounts()[owner.index], 0U);
    Hpa kept;
    {
        auto frame = Frame::allocate(owner);
        ASSERT_TRUE(frame);
        kept = frame->release();
    }
    EXPECT_TRUE(frames().is_owned_by(owner, kept));
    frames().fail_from(1);
    EXPECT_EQ(Frame::allocate(owner).error(), Error::OutOfMemory);
}

TEST_F(FrameAllocatorTest, HolesAreNeverHandedOut) {
    // A second allocator over frames of the first: ranges of 8 and 4 frames with a hole of 4.
    const auto memory = frames().allocate_run(owner, 16);
    ASSERT_TRUE(memory);
    const Hpa begin = *memory;
    FrameAllocator allocator;
    allocator.add_range(begin, begin + 8 * page_size, begin + 16 * page_size);
    allocator.add_range(begin + 12 * page_size, begin + 16 * page_size, begin + 16 * page_size);
    EXPECT_EQ(allocator.available(), 7U + 4U);
    EXPECT_EQ(allocator.allocate_run(owner, 8).error(), Error::OutOfMemory);
    while (const auto frame = allocator.allocate(owner)) {
        EXPECT_TRUE(*frame < begin + 8 * page_size || *frame >= begin + 12 * page_size);
    }
    EXPECT_FALSE(allocator.is_owned_by(owner, begin + 9 * page_size));
    EXPECT_FALSE(allocator.is_owned_by(owner, begin - page_size));
    EXPECT_FALSE(allocator.is_owned_by(owner, begin + 16 * page_size));
    EXPECT_FALSE(allocator.is_owned_by(owner, Hpa{0}));
}

using FrameAllocatorDeathTest = FrameAllocatorTest;

TEST_F(FrameAllocatorDeathTest, MisuseIsFatal) {
    const Hpa frame = *frames().allocate(owner);
    EXPECT_DEATH(frames().free(other, frame), "another owner");
    EXPECT_DEATH(frames().free(owner, frame + 1), "not the address of a frame");
    EXPECT_DEATH(frames().free(owner, Hpa{0}), "not in the memory");
    EXPECT_DEATH(frames().free(owner, arch::fake::arena_end()), "not in the memory");
    EXPECT_DEATH(frames().free_run(owner, frame, 1000), "leaves the memory");
    EXPECT_DEATH(frames().free_run(owner, frame, 2), "freed twice");
    frames().free(owner, frame);
    EXPECT_DEATH(frames().free(owner, frame), "freed twice");
}

TEST_F(FrameAllocatorDeathTest, FreeFramesArePoisoned) {
    const Hpa frame = *frames().allocate(owner);
    volatile std::byte* const byte = arch::direct_map(frame);
    *byte = std::byte{1};
    frames().free(owner, frame);
    EXPECT_DEATH(*byte = std::byte{2}, "AddressSanitizer: use-after-poison");
}

TEST_F(FrameAllocatorDeathTest, RangesAreChecked) {
    const Hpa begin = *frames().allocate_run(owner, 8);
    const Hpa end = begin + 4 * page_size;
    const Hpa highest = begin + 8 * page_size;
    EXPECT_DEATH(FrameAllocator{}.add_range(begin + 1, end, highest), "not page-aligned");
    EXPECT_DEATH(FrameAllocator{}.add_range(end, begin, highest), "empty");
    EXPECT_DEATH(FrameAllocator{}.add_range(begin, end, begin + (1ULL << 40)), "does not hold");
    FrameAllocator allocator;
    allocator.add_range(begin, end, highest);
    EXPECT_DEATH(allocator.add_range(begin + page_size, end, highest), "added twice");
    EXPECT_DEATH(allocator.add_range(end, highest + page_size, highest), "beyond the highest");
}

}  // namespace
}  // namespace kern
