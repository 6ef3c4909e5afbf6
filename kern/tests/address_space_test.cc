// SPDX-License-Identifier: MIT
#include "kern/proc/address_space.hh"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <string>

#include "kern/arch/arch.hh"
#include "kern/arch/host/fake.hh"
#include "kern/mm/frame_allocator.hh"

namespace kern {
namespace {

constexpr Rights read_only{}, writable{.write = true, .execute = false},
    executable{.write = false, .execute = true};
constexpr Uva page_a{0x400000}, page_b{0x401000}, far_page{0x7fff'ffff'e000};

/// The last level's entries of the lower half by address, read as the processor does.
std::map<std::uint64_t, std::uint64_t> walk(Hpa table, unsigned shift = 39,
                                            std::uint64_t base = 0) {
    std::map<std::uint64_t, std::uint64_t> found;
    const auto* entries = reinterpret_cast<const std::uint64_t*>(arch::direct_map(table));
    for (std::uint64_t i = 0; i < (shift == 39 ? 256 : 512); ++i) {
        if ((entries[i] & 1) == 0) continue;
        if (shift == 12)
            found[base + (i << shift)] = entries[i];
        else
            found.merge(
                walk(Hpa{entries[i] & 0x000f'ffff'ffff'f000}, shift - 9, base + (i << shift)));
    }
    return found;
}

class AddressSpaceTest : public ::testing::Test {
   protected:
    void SetUp() override {
        arch::fake::reset(8 << 20);
        before_ = frames().accounts();
        space_ = std::move(*AddressSpace::create());
        other_ = std::move(*AddressSpace::create());
    }
    void TearDown() override {
        frames().fail_from(0);
        space_.reset();
        other_.reset();
        EXPECT_EQ(frames().accounts(), before_);
    }
    std::uint64_t taken(FrameOwner owner) const {
        return frames().accounts()[owner.index] - before_[owner.index];
    }
    /// What the list says is what the tables say.
    static void expect_tables_agree(const AddressSpace& space) {
        auto entries = walk(space.root());
        EXPECT_EQ(entries.size(), space.page_count());
        for (std::size_t i = 0; i < space.page_count(); ++i) {
            const UserPage page = space.page(i);
            const std::uint64_t wanted = page.frame.value() | 5 | (page.rights.write ? 2 : 0) |
                                         (page.rights.execute ? 0 : 1ULL << 63);
            EXPECT_EQ(entries[page.address.value()], wanted) << page.address.value();
        }
    }
    FrameAccounts before_{};
    std::unique_ptr<AddressSpace> space_, other_;
};

TEST_F(AddressSpaceTest, AllocatesZeroedPagesInOrder) {
    for (const Uva at : {far_page, page_a, user_layout::stack_page, page_b})
        ASSERT_TRUE(space_->allocate_page(at, writable));
    ASSERT_EQ(space_->page_count(), 4U);
    EXPECT_EQ(space_->page(0).address, user_layout::stack_page);
    EXPECT_EQ(space_->page(3).address, far_page);
    for (std::size_t i = 0; i < 4; ++i) {
        const auto bytes = AddressSpace::bytes(space_->page(i));
        for (const std::byte byte : bytes) ASSERT_EQ(byte, std::byte{});
    }
    expect_tables_agree(*space_);
    EXPECT_EQ(space_->allocate_page(page_a, writable).error(), Error::AlreadyExists);
}

TEST_F(AddressSpaceTest, RefusesWhatIsNotTheProgramsHalf) {
    for (const std::uint64_t at : {0ULL, 0x7fff'ffff'f000ULL, 0x8000'0000'0000ULL,
                                   0xffff'8000'0000'0000ULL, 0xffff'ffff'ffff'f000ULL}) {
        EXPECT_EQ(space_->allocate_page(Uva{at}, writable).error(), Error::OutOfRange) << at;
        EXPECT_EQ(space_->unmap_page(Uva{at}).error(), Error::OutOfRange) << at;
        EXPECT_EQ(space_->set_rights(Uva{at}, writable).error(), Error::OutOfRange) << at;
    }
    EXPECT_EQ(space_->allocate_page(page_a + 1, writable).error(), Error::Unaligned);
    EXPECT_EQ(space_->page_count(), 0U);
}

TEST_F(AddressSpaceTest, ManyPagesInAnyOrder) {
    std::array<std::uint64_t, 200> numbers;
    for (std::size_t i = 0; i < numbers.size(); ++i) numbers[i] = i * 37 % 200;
    for (const std::uint64_t n : numbers)
        ASSERT_TRUE(
            space_->allocate_page(page_a + n * page_size, n % 2 != 0 ? writable : executable));
    expect_tables_agree(*space_);
    for (const std::uint64_t n : numbers)
        if (n % 3 == 0) {
            ASSERT_TRUE(space_->unmap_page(page_a + n * page_size));
        }
    EXPECT_EQ(space_->page_count(), 133U);
    expect_tables_agree(*space_);
    for (const std::uint64_t n : numbers)
        EXPECT_EQ(space_->find(page_a + n * page_size + 5).has_value(), n % 3 != 0);
}

TEST_F(AddressSpaceTest, AFailedAllocationChangesNothing) {
    ASSERT_TRUE(space_->allocate_page(page_a, writable));
    const auto tables = taken(frame_owner::page_table);
    // The page, then a table after the other: those that were made stay for the next try.
    for (std::uint64_t count = 1; count <= 3; ++count) {
        frames().fail_from(count);
        EXPECT_EQ(space_->allocate_page(far_page, writable).error(), Error::OutOfMemory);
        frames().fail_from(0);
        EXPECT_EQ(space_->page_count(), 1U);
        EXPECT_EQ(taken(frame_owner::user_page), 1U);
        expect_tables_agree(*space_);
    }
    EXPECT_GE(taken(frame_owner::page_table), tables);
    EXPECT_TRUE(space_->allocate_page(far_page, writable));
}

TEST_F(AddressSpaceTest, RenewReplacesThePage) {
    const auto old = space_->allocate_page(page_a, writable);
    ASSERT_TRUE(old);
    std::ranges::fill(AddressSpace::bytes(*old), std::byte{7});
    ASSERT_TRUE(space_->renew_page(page_a, read_only));
    EXPECT_EQ(taken(frame_owner::user_page), 1U);
    EXPECT_EQ(space_->find(page_a)->rights, read_only);
    EXPECT_EQ(AddressSpace::bytes(*space_->find(page_a))[100], std::byte{});
    frames().fail_from(1);
    EXPECT_EQ(space_->renew_page(page_a, writable).error(), Error::OutOfMemory);
    EXPECT_EQ(space_->find(page_a)->rights, read_only);
    expect_tables_agree(*space_);
}

TEST_F(AddressSpaceTest, SharedPagesLiveUntilTheLastOneGoes) {
    ASSERT_TRUE(space_->allocate_page(page_a, writable));
    ASSERT_TRUE(other_->share_page(page_b, *space_, page_a, read_only));
    ASSERT_TRUE(space_->share_page(far_page, *space_, page_a, writable));
    EXPECT_EQ(taken(frame_owner::user_page), 1U);
    const std::array<std::byte, 3> text{std::byte{1}, std::byte{2}, std::byte{3}};
    ASSERT_TRUE(space_->copy_to_user(page_a + 10, text));
    std::array<std::byte, 3> seen{};
    ASSERT_TRUE(other_->copy_from_user(seen, page_b + 10));
    EXPECT_EQ(seen, text);
    EXPECT_EQ(other_->copy_to_user(page_b, text).error(), Error::OutOfRange);

    ASSERT_TRUE(space_->unmap_page(page_a));
    space_ = std::move(*AddressSpace::create());
    EXPECT_EQ(taken(frame_owner::user_page), 1U);
    ASSERT_TRUE(other_->copy_from_user(seen, page_b + 10));
    EXPECT_EQ(seen, text);
    ASSERT_TRUE(other_->unmap_page(page_b));
    EXPECT_EQ(taken(frame_owner::user_page), 0U);
}

TEST_F(AddressSpaceTest, SharingAPageWithItselfKeepsIt) {
    ASSERT_TRUE(space_->allocate_page(page_a, writable));
    ASSERT_TRUE(space_->share_page(page_a, *space_, page_a, read_only));
    EXPECT_EQ(taken(frame_owner::user_page), 1U);
    EXPECT_EQ(space_->find(page_a)->rights, read_only);
    expect_tables_agree(*space_);
}

TEST_F(AddressSpaceTest, SharingGivesNoMoreRightsThanThereAre) {
    ASSERT_TRUE(space_->allocate_page(page_a, read_only));
    EXPECT_EQ(other_->share_page(page_a, *space_, page_a, writable).error(),
              Error::InvalidArgument);
    EXPECT_EQ(other_->share_page(page_a, *space_, page_a, executable).error(),
              Error::InvalidArgument);
    EXPECT_EQ(other_->share_page(page_a, *space_, page_b, read_only).error(), Error::NotFound);
    frames().fail_from(1);
    EXPECT_EQ(other_->share_page(page_a, *space_, page_a, read_only).error(), Error::OutOfMemory);
    frames().fail_from(0);
    EXPECT_EQ(other_->page_count(), 0U);
    ASSERT_TRUE(space_->unmap_page(page_a));
    EXPECT_EQ(taken(frame_owner::user_page), 0U);
}

TEST_F(AddressSpaceTest, CopiesAcrossPagesThatAreNotNeighboursInMemory) {
    ASSERT_TRUE(space_->allocate_page(page_b, writable));
    ASSERT_TRUE(other_->allocate_page(page_a, writable));
    ASSERT_TRUE(space_->allocate_page(page_a, writable));
    std::array<std::byte, 6000> in, out{};
    for (std::size_t i = 0; i < in.size(); ++i) in[i] = static_cast<std::byte>(i * 7);
    ASSERT_TRUE(space_->copy_to_user(page_a + 1000, in));
    ASSERT_TRUE(space_->copy_from_user(out, page_a + 1000));
    EXPECT_EQ(in, out);
    EXPECT_EQ(AddressSpace::bytes(*space_->find(page_b))[0], in[page_size - 1000]);
}

TEST_F(AddressSpaceTest, CopiesNothingFromABadRange) {
    ASSERT_TRUE(space_->allocate_page(page_a, writable));
    ASSERT_TRUE(space_->allocate_page(page_b, read_only));
    std::array<std::byte, 16> bytes;
    bytes.fill(std::byte{9});
    const auto before = bytes;
    for (const std::uint64_t at :
         {0ULL, 0xff8ULL, 0x3ffff8ULL, 0x401ff8ULL, 0x7fff'ffff'f000ULL, 0x7fff'ffff'fff8ULL,
          0x8000'0000'0000ULL, 0xffff'ffff'ffff'fff8ULL, 0xffff'8000'0000'0000ULL}) {
        EXPECT_EQ(space_->copy_from_user(bytes, Uva{at}).error(), Error::OutOfRange) << at;
        EXPECT_EQ(space_->copy_to_user(Uva{at}, bytes).error(), Error::OutOfRange) << at;
    }
    EXPECT_EQ(bytes, before);
    // The first page may be written, the second not: neither is.
    EXPECT_EQ(space_->copy_to_user(page_b - 8, bytes).error(), Error::OutOfRange);
    EXPECT_EQ(AddressSpace::bytes(*space_->find(page_a))[page_size - 8], std::byte{});
    EXPECT_TRUE(space_->copy_from_user(bytes, page_b - 8));
}

TEST_F(AddressSpaceTest, AReferenceKeepsItsFrame) {
    ASSERT_TRUE(space_->allocate_page(page_a, read_only));
    ASSERT_TRUE(space_->allocate_page(page_b, writable));
    const Hpa frame = space_->find(page_a)->frame;
    {
        const auto reference = space_->reference(page_a + 0x123);
        ASSERT_TRUE(reference);
        EXPECT_EQ(reference->address(), frame);
        EXPECT_EQ(reference->rights(), read_only);
        ASSERT_TRUE(space_->unmap_page(page_a));
        EXPECT_EQ(taken(frame_owner::user_page), 2U);
    }
    EXPECT_EQ(taken(frame_owner::user_page), 1U);
    EXPECT_FALSE(space_->reference(page_a));
    EXPECT_FALSE(space_->reference(user_layout::end));
}

TEST_F(AddressSpaceTest, AReleasedReferenceIsGivenBackByAddress) {
    ASSERT_TRUE(space_->allocate_page(page_a, writable));
    ASSERT_TRUE(other_->share_page(page_b, *space_, page_a, writable));
    const Hpa frame = space_->reference(page_a)->release();
    EXPECT_EQ(other_->reference(page_b)->release(), frame);
    space_.reset();
    other_.reset();
    EXPECT_EQ(taken(frame_owner::user_page), 1U);
    UserFrame::give_back(frame);
    EXPECT_EQ(taken(frame_owner::user_page), 1U);
    UserFrame::give_back(frame);
    EXPECT_EQ(taken(frame_owner::user_page), 0U);
    EXPECT_DEATH(UserFrame::give_back(frame), "nobody has a reference");
}

TEST_F(AddressSpaceTest, ReferencesToManyFramesAreKeptApart) {
    constexpr std::uint64_t count = 1500;  // more than the index has chains
    std::array<Hpa, count> frames_of;
    for (std::uint64_t i = 0; i < count; ++i) {
        ASSERT_TRUE(space_->allocate_page(page_a + i * page_size, writable));
        frames_of[i] = space_->reference(page_a + i * page_size)->release();
    }
    space_.reset();
    EXPECT_EQ(taken(frame_owner::user_page), count);
    for (std::uint64_t i = 0; i < count; i += 2) UserFrame::give_back(frames_of[i]);
    EXPECT_EQ(taken(frame_owner::user_page), count / 2);
    for (std::uint64_t i = 1; i < count; i += 2) UserFrame::give_back(frames_of[i]);
    EXPECT_EQ(taken(frame_owner::user_page), 0U);
}

TEST_F(AddressSpaceTest, NoBytesAreNoError) {
    EXPECT_TRUE(space_->allows(Uva{}, 0, true));
    EXPECT_FALSE(space_->allows(page_a, ~0ULL, false));
    EXPECT_FALSE(space_->allows(page_a, ~0ULL - page_a.value() + 1, false));
}

}  // namespace
}  // namespace kern
