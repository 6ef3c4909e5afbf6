// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <optional>

#include "kern/arch/host/fake.hh"
#include "vmm/frame_owners.hh"
#include "vmm/paging/second_level_table.hh"
#include "vmm/tests/support/walker.hh"

namespace vmm {
namespace {

constexpr Gpa gpa{0x40'3000};
constexpr Gpa large_gpa{0x80'0000};

/// Every case runs for both formats, and at its end all frames must be back.
class PagingTable : public ::testing::TestWithParam<const EntryFormat*> {
   protected:
    void SetUp() override {
        kern::arch::fake::reset({.arena_bytes = 16 << 20, .cpus = 4});
        before_ = kern::frames().accounts();
        table_.emplace(*SecondLevelTable::create(*GetParam()));
    }
    void TearDown() override {
        kern::frames().fail_from(0);
        table_.reset();
        EXPECT_EQ(kern::frames().accounts(), before_);
    }

    SecondLevelTable& table() { return *table_; }
    Hpa new_frame() { return *kern::frames().allocate(frame_owner::guest_memory); }
    Hpa new_large_page() {
        return *kern::frames().allocate_run(frame_owner::guest_memory, 512, 512);
    }
    void free_frame(Hpa frame) { kern::frames().free(frame_owner::guest_memory, frame); }
    std::optional<test::WalkedPage> walk(Gpa at) {
        return test::walk_in_memory(
            {.root = table().root().value(), .is_ept = GetParam() == &ept_format}, at.value());
    }
    std::uint64_t tables() const {
        const auto owner = frame_owner::second_level_table.index;
        return kern::frames().accounts()[owner] - before_[owner];
    }
    template <class T>
    void expect_error(const std::expected<T, Error>& result, Error wanted) {
        ASSERT_FALSE(result.has_value());
        EXPECT_EQ(describe(result.error()), describe(wanted));
    }

   private:
    std::optional<SecondLevelTable> table_;
    kern::FrameAccounts before_{};
};

INSTANTIATE_TEST_SUITE_P(Formats, PagingTable, ::testing::Values(&npt_format, &ept_format),
                         [](const auto& tested) { return std::string{tested.param->name}; });

TEST_P(PagingTable, MapsSmallPages) {
    const Hpa frame = new_frame();
    EXPECT_FALSE(table().lookup(gpa));
    ASSERT_TRUE(table().map(gpa, frame, read_execute));
    const auto found = table().lookup(gpa + 0x123);
    ASSERT_TRUE(found);
    EXPECT_EQ(found->address, frame + 0x123);
    EXPECT_EQ(found->permission, read_execute);
    EXPECT_EQ(found->size, PageSize::Small);
    EXPECT_EQ(table().present_pages(), 1U);
    EXPECT_EQ(walk(gpa), (test::WalkedPage{frame.value(), true, false, true, 4096}));
    EXPECT_FALSE(walk(gpa + page_size));
    EXPECT_EQ(tables(), 4U);
}

TEST_P(PagingTable, MapsLargePages) {
    const Hpa frames = new_large_page();
    ASSERT_TRUE(table().map(large_gpa, frames, read_write_execute, PageSize::Large));
    const auto found = table().lookup(large_gpa + 0x12'3456);
    ASSERT_TRUE(found);
    EXPECT_EQ(found->address, frames + 0x12'3456);
    EXPECT_EQ(found->size, PageSize::Large);
    EXPECT_EQ(table().present_pages(), 512U);
    EXPECT_EQ(walk(large_gpa), (test::WalkedPage{frames.value(), true, true, true, 2 << 20}));
    EXPECT_EQ(tables(), 3U);
}

TEST_P(PagingTable, RefusesWhatCannotBeMapped) {
    const Hpa frame = new_frame();
    expect_error(table().map(gpa + 1, frame, read_only), Error::Unaligned);
    expect_error(table().map(gpa, frame + 8, read_only), Error::Unaligned);
    expect_error(table().map(gpa, frame, read_only, PageSize::Large), Error::Unaligned);
    expect_error(table().map(Gpa{guest_physical_end}, frame, read_only), Error::OutOfRange);
    expect_error(table().map(gpa, frame, Permission{}), Error::InvalidArgument);
    expect_error(table().map(gpa, frame, {.write = true}), Error::InvalidArgument);
    EXPECT_EQ(table().present_pages(), 0U);
    ASSERT_TRUE(table().map(Gpa{guest_physical_end - page_size}, frame, read_only));
    EXPECT_FALSE(table().lookup(Gpa{guest_physical_end}));
}

TEST_P(PagingTable, NeverReplacesAMapping) {
    const Hpa frame = new_frame();
    const Hpa other = new_frame();
    const Hpa large = new_large_page();
    ASSERT_TRUE(table().map(gpa, frame, read_only));
    expect_error(table().map(gpa, other, read_write_execute), Error::AlreadyExists);
    EXPECT_EQ(table().lookup(gpa)->address, frame);
    expect_error(table().map(Gpa{0x40'0000}, large, read_only, PageSize::Large),
                 Error::AlreadyExists);
    ASSERT_TRUE(table().map(large_gpa, large, read_only, PageSize::Large));
    expect_error(table().map(large_gpa + page_size, other, read_only), Error::AlreadyExists);
    expect_error(table().entry(large_gpa), Error::AlreadyExists);
    free_frame(other);
}

TEST_P(PagingTable, UnmapGivesTheFramesBack) {
    const Hpa frame = new_frame();
    const Hpa large = new_large_page();
    ASSERT_TRUE(table().map(gpa, frame, read_only));
    ASSERT_TRUE(table().map(large_gpa, large, read_only, PageSize::Large));
    const auto small_gone = table().unmap(gpa + 0x10);
    ASSERT_TRUE(small_gone);
    EXPECT_EQ(small_gone->address, frame);
    const auto large_gone = table().unmap(large_gpa + 0x5000);
    ASSERT_TRUE(large_gone);
    EXPECT_EQ(large_gone->address, large);
    EXPECT_EQ(large_gone->size, PageSize::Large);
    EXPECT_EQ(table().present_pages(), 0U);
    expect_error(table().unmap(gpa), Error::NotFound);
    expect_error(table().unmap(Gpa{guest_physical_end}), Error::NotFound);
    ASSERT_TRUE(table().map(gpa, frame, read_only)) << "the place is free again";
    kern::frames().free_run(frame_owner::guest_memory, large, 512);
}

TEST_P(PagingTable, ProtectKeepsWhatTheHardwareNoted) {
    const Hpa frame = new_frame();
    ASSERT_TRUE(table().map(gpa, frame, read_write_execute));
    const std::uint64_t noted = GetParam() == &ept_format ? 0x300 : 0x60;  // accessed, dirty
    std::uint64_t& entry = **table().entry(gpa);
    std::atomic_ref{entry}.fetch_or(noted);
    ASSERT_TRUE(table().protect(gpa, read_only));
    EXPECT_EQ(table().lookup(gpa)->permission, read_only);
    EXPECT_EQ(table().lookup(gpa)->address, frame);
    EXPECT_EQ(std::atomic_ref{entry}.load() & noted, noted);
    expect_error(table().protect(gpa, Permission{}), Error::InvalidArgument);
    expect_error(table().protect(gpa + page_size, read_only), Error::NotFound);
}

TEST_P(PagingTable, ShootsDownAfterTheEntryHasChanged) {
    struct Context {
        SecondLevelTable* table;
        unsigned calls = 0;
        std::optional<Mapping> seen{};
    } context{.table = &table()};
    table().set_shootdown(
        [](void* given) {
            auto* c = static_cast<Context*>(given);
            ++c->calls;
            c->seen = c->table->lookup(gpa);
        },
        &context);
    const Hpa frame = new_frame();
    ASSERT_TRUE(table().map(gpa, frame, read_write_execute));
    EXPECT_EQ(context.calls, 0U) << "an entry that was not present is in no TLB";
    ASSERT_TRUE(table().protect(gpa, read_only));
    EXPECT_EQ(context.calls, 1U);
    ASSERT_TRUE(context.seen);
    EXPECT_EQ(context.seen->permission, read_only);
    ASSERT_TRUE(table().unmap(gpa));
    EXPECT_EQ(context.calls, 2U);
    EXPECT_FALSE(context.seen);
    EXPECT_FALSE(table().unmap(gpa));
    EXPECT_EQ(context.calls, 2U) << "nothing has changed";
    free_frame(frame);
}

TEST_P(PagingTable, AnEntryMayBePublishedByCompareAndSwap) {
    const auto entry = table().entry(gpa + 0x10);
    ASSERT_TRUE(entry);
    EXPECT_EQ(*table().entry(gpa), *entry);
    const Hpa frame = new_frame();
    std::uint64_t empty = 0;
    ASSERT_TRUE(std::atomic_ref{**entry}.compare_exchange_strong(
        empty, table().format().leaf(frame, read_write_execute, 1)));
    EXPECT_EQ(table().lookup(gpa)->address, frame);
    EXPECT_EQ(walk(gpa), (test::WalkedPage{frame.value(), true, true, true, 4096}));
    expect_error(table().entry(Gpa{guest_physical_end}), Error::OutOfRange);
}

TEST_P(PagingTable, SurvivesEveryAllocationFailingInTurn) {
    const Hpa frame = new_frame();
    // Tables of an earlier attempt stay: the last turn begins in another half of the root.
    constexpr std::array<Gpa, 3> where{gpa, gpa, Gpa{guest_physical_end / 2}};
    for (std::uint64_t turn = 0; turn < where.size(); ++turn) {
        kern::frames().fail_from(turn + 1);
        expect_error(table().map(where[turn], frame, read_only), Error::OutOfMemory);
        EXPECT_EQ(table().present_pages(), 0U);
    }
    kern::frames().fail_from(0);
    ASSERT_TRUE(table().map(gpa, frame, read_only));
}

TEST_P(PagingTable, MovesWithItsFrames) {
    const Hpa frame = new_frame();
    ASSERT_TRUE(table().map(gpa, frame, read_only));
    const SecondLevelTable moved{std::move(table())};
    EXPECT_EQ(moved.lookup(gpa)->address, frame);
}

}  // namespace
}  // namespace vmm
