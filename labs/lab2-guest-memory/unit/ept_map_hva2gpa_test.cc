// SPDX-License-Identifier: MIT
// Task lab2.ept_map_hva2gpa.
#include <limits>
#include <vector>

#include "store_watch.hh"
#include "tables.hh"

namespace lab {
namespace {

using vmm::read_execute;
using vmm::read_only;
using vmm::read_write_execute;

constexpr Permission read_write{.read = true, .write = true};

template <class Format>
class EptMapHva2Gpa : public TableTest<Format> {
   protected:
    std::expected<void, Error> map(Hpa frame, std::uint64_t gpa,
                                   Permission permission = read_write_execute,
                                   bool overwrite = false) {
        return vmm::ept_map_hva2gpa(Format::format(), this->root(), this->hva(frame), Gpa{gpa},
                                    permission, overwrite);
    }
    /// After an error that no table is needed for: the tree is as empty as it was.
    void expect_nothing_made() {
        EXPECT_EQ(this->tables(), 0U) << "tables below the root, after errors";
        EXPECT_EQ(this->entries_in_use(), 0U) << "entries that are not 0, after errors";
    }
    /// The page of some address with small indices: large ones have cases of their own.
    static std::uint64_t some_page() {
        return random().between(0, 1) << 39 | random().between(0, 100) << 30 |
               random().between(0, 100) << 21 | random().between(1, 100) << 12;
    }
};
TYPED_TEST_SUITE(EptMapHva2Gpa, Formats, FormatNames);

TYPED_TEST(EptMapHva2Gpa, MapsTheFrameBehindTheHva) {
    const Hpa frame = this->new_page();
    const std::uint64_t gpa = this->some_page();
    ASSERT_TRUE(succeeds(this->map(frame, gpa)));
    EXPECT_TRUE(this->has_page(gpa, this->wanted_page(frame)));
    EXPECT_EQ(this->all_pages().size(), 1U) << "pages in the table";
    EXPECT_EQ(this->tables(), 3U) << "tables below the root";
    EXPECT_EQ(this->page_frames(), 1U) << "frames of guest memory: the one that was given";
}

TYPED_TEST(EptMapHva2Gpa, GivesThePermissionAskedFor) {
    std::uint64_t gpa = this->some_page() & ~(large_page - 1);  // all in one table
    for (const auto permission : {read_only, read_execute, read_write, read_write_execute}) {
        const Hpa frame = this->new_page();
        ASSERT_TRUE(succeeds(this->map(frame, gpa, permission)));
        EXPECT_TRUE(this->has_page(gpa, this->wanted_page(frame, permission)));
        gpa += page;
    }
    EXPECT_EQ(this->all_pages().size(), 4U) << "pages in the table";
}

TYPED_TEST(EptMapHva2Gpa, WritesTheEntryOfTheManual) {
    std::uint64_t gpa = this->some_page() & ~(large_page - 1);
    for (const auto permission : {read_only, read_execute, read_write, read_write_execute}) {
        const Hpa frame = this->new_page();
        ASSERT_TRUE(succeeds(this->map(frame, gpa, permission)));
        EXPECT_EQ(hex(this->entry_at(gpa)), hex(frame.value() | TypeParam::leaf(permission)));
        gpa += page;
    }
}

TYPED_TEST(EptMapHva2Gpa, MapsTheFirstAndTheLastPage) {
    for (const std::uint64_t gpa : {std::uint64_t{0}, last_page}) {
        const Hpa frame = this->new_page();
        ASSERT_TRUE(succeeds(this->map(frame, gpa))) << hex(gpa);
        EXPECT_TRUE(this->has_page(gpa, this->wanted_page(frame)));
    }
    EXPECT_EQ(this->all_pages().size(), 2U) << "pages in the table";
}

TYPED_TEST(EptMapHva2Gpa, MapsManyPages) {
    std::map<std::uint64_t, Hpa> wanted;
    for (const std::uint64_t base : {this->some_page(), random().page_between(1, last_page / page)})
        for (const std::uint64_t step : {0ULL, 1ULL << 12, 1ULL << 21, 1ULL << 30, 1ULL << 39}) {
            const std::uint64_t gpa = (base + step) & last_page;
            if (wanted.contains(gpa)) continue;
            const Hpa frame = this->new_page();
            ASSERT_TRUE(succeeds(this->map(frame, gpa))) << hex(gpa);
            wanted[gpa] = frame;
        }
    for (const auto& [gpa, frame] : wanted)
        EXPECT_TRUE(this->has_page(gpa, this->wanted_page(frame)));
    EXPECT_EQ(this->all_pages().size(), wanted.size()) << "pages in the table";
}

TYPED_TEST(EptMapHva2Gpa, OneFrameMayBeSeenAtTwoAddresses) {
    const Hpa frame = this->new_page();
    ASSERT_TRUE(succeeds(this->map(frame, 0x7000)));
    ASSERT_TRUE(succeeds(this->map(frame, 0x20'0000)));
    EXPECT_TRUE(this->has_page(0x7000, this->wanted_page(frame)));
    EXPECT_TRUE(this->has_page(0x20'0000, this->wanted_page(frame)));
}

TYPED_TEST(EptMapHva2Gpa, OverwriteReplacesThePage) {
    const Hpa before = this->new_page(), after = this->new_page();
    const std::uint64_t gpa = this->some_page();
    this->entry_at(gpa) = before.value() | TypeParam::page | TypeParam::noted;
    const std::uint64_t tables = this->tables();
    ASSERT_TRUE(succeeds(this->map(after, gpa, read_write_execute, true)));
    EXPECT_TRUE(this->has_page(gpa, this->wanted_page(after)));
    EXPECT_EQ(hex(this->entry_at(gpa)), hex(after.value() | TypeParam::leaf(read_write_execute)))
        << "the entry is the new page's alone: nothing of the old one's stays";
    EXPECT_EQ(this->tables(), tables) << "tables below the root";
    EXPECT_EQ(this->page_frames(), 2U) << "the old frame is the caller's, who gives it back";
}

TYPED_TEST(EptMapHva2Gpa, OverwriteMayChangeThePermissionAlone) {
    const Hpa frame = this->new_page();
    const std::uint64_t gpa = this->some_page();
    this->entry_at(gpa) = frame.value() | TypeParam::page;
    ASSERT_TRUE(succeeds(this->map(frame, gpa, read_only, true)));
    EXPECT_TRUE(this->has_page(gpa, this->wanted_page(frame, read_only)));
    ASSERT_TRUE(succeeds(this->map(frame, gpa, read_write, true)));
    EXPECT_TRUE(this->has_page(gpa, this->wanted_page(frame, read_write)));
}

TYPED_TEST(EptMapHva2Gpa, OverwriteMayFindNothing) {
    const Hpa frame = this->new_page();
    const std::uint64_t gpa = this->some_page();
    ASSERT_TRUE(succeeds(this->map(frame, gpa, read_write_execute, true)));
    EXPECT_TRUE(this->has_page(gpa, this->wanted_page(frame)));
    EXPECT_EQ(this->tables(), 3U) << "tables below the root";
}

TYPED_TEST(EptMapHva2Gpa, TheEntryChangesInOneStep) {
    const Hpa before = this->new_page(), after = this->new_page();
    const std::uint64_t gpa = this->some_page();
    std::uint64_t& entry = this->entry_at(gpa);
    for (const bool overwrite : {false, true}) {
        entry = overwrite ? before.value() | TypeParam::page : 0;
        std::vector<std::uint64_t> values;
        std::expected<void, Error> result;
        {
            const StoreWatch watch{entry};
            result = this->map(after, gpa, read_write_execute, overwrite);
            values = watch.values();
        }
        ASSERT_TRUE(succeeds(result));
        ASSERT_FALSE(values.empty()) << "the entry was not written";
        EXPECT_EQ(hex(values.front()), hex(after.value() | TypeParam::leaf(read_write_execute)))
            << "the first value of the entry " << (overwrite ? "that was overwritten" : "")
            << ": another CPU may see it";
        EXPECT_EQ(values.size(), 1U) << "values that the entry took";
    }
}

TYPED_TEST(EptMapHva2Gpa, OverwriteGoesOnWhereTheEntryHasChanged) {
    // The processor notes an access between the look and the change, once.
    const Hpa before = this->new_page(), after = this->new_page();
    const std::uint64_t gpa = this->some_page();
    static std::uint64_t* noted_in = nullptr;
    noted_in = &this->entry_at(gpa);
    *noted_in = before.value() | TypeParam::page;
    static constexpr auto note = [] {
        if (noted_in != nullptr) *noted_in |= TypeParam::noted;
        noted_in = nullptr;
    };
    const vmm::EntryFormat format{.name = TypeParam::name,
                                  .leaf =
                                      [](Hpa frame, Permission permission, Level level) {
                                          note();
                                          return TypeParam::format().leaf(frame, permission, level);
                                      },
                                  .with_permission = TypeParam::format().with_permission,
                                  .table = TypeParam::format().table,
                                  .decode =
                                      [](std::uint64_t entry, Level level) {
                                          if (level == 1) note();
                                          return TypeParam::format().decode(entry, level);
                                      }};
    ASSERT_TRUE(succeeds(vmm::ept_map_hva2gpa(format, this->root(), this->hva(after), Gpa{gpa},
                                              read_write_execute, true)))
        << "the entry took another value between the look and the change";
    EXPECT_TRUE(this->has_page(gpa, this->wanted_page(after)));
}

TYPED_TEST(EptMapHva2Gpa, EachTreeIsItsOwn) {
    const Hpa other = this->new_table();
    const Hpa first = this->new_page(), second = this->new_page();
    const std::uint64_t gpa = this->some_page();
    ASSERT_TRUE(succeeds(this->map(first, gpa)));
    ASSERT_TRUE(succeeds(vmm::ept_map_hva2gpa(TypeParam::format(), other, this->hva(second),
                                              Gpa{gpa}, read_write_execute, false)))
        << "the page is free in the tree of another guest";
    EXPECT_TRUE(this->has_page(gpa, this->wanted_page(first)));
    const auto seen =
        vmm::test::walk_in_memory({.root = other.value(), .is_ept = TypeParam::is_ept}, gpa);
    EXPECT_TRUE(seen == this->wanted_page(second)) << this->in_words(seen);
    this->free_tree(other, vmm::root_level);
}

TYPED_TEST(EptMapHva2Gpa, TheFormatSaysWhatIsPresent) {
    const Hpa frame = this->new_page();
    const std::uint64_t gpa = this->some_page();
    this->entry_at(gpa) = TypeParam::absent;
    ASSERT_TRUE(succeeds(this->map(frame, gpa))) << "the entry was absent, though not 0";
    EXPECT_EQ(hex(this->entry_at(gpa)), hex(frame.value() | TypeParam::page));
}

// The self-test that the original's kernel runs, as one story.
TYPED_TEST(EptMapHva2Gpa, PassesTheSelfTestOfTheOriginal) {
    const Hpa first = this->new_page(), second = this->new_page();
    const auto lookup = [&](std::uint64_t gpa, Level level, MissingTable missing) {
        return vmm::ept_lookup_gpa(TypeParam::format(), this->root(), Gpa{gpa}, level, missing);
    };
    // In an empty table nothing is found, and nothing comes to be by looking.
    auto found = lookup(0, 1, MissingTable::Stop);
    ASSERT_TRUE(succeeds(found));
    EXPECT_EQ(found->level, vmm::root_level);
    EXPECT_EQ(this->tables(), 0U);
    // A page at 0, and the way to it.
    ASSERT_TRUE(succeeds(this->map(first, 0)));
    EXPECT_EQ(this->tables(), 3U);
    found = lookup(0, 1, MissingTable::Stop);
    ASSERT_TRUE(succeeds(found));
    EXPECT_EQ(found->level, 1U);
    EXPECT_EQ(found->entry, entry_pointer(this->table_at(0, 1), vmm::table_index(Gpa{0}, 1)));
    EXPECT_EQ(hex(found->value), hex(first.value() | TypeParam::page));
    // Another one there: only if that is wanted.
    EXPECT_TRUE(fails_with(this->map(second, 0), Error::AlreadyExists));
    EXPECT_TRUE(this->has_page(0, this->wanted_page(first)));
    ASSERT_TRUE(succeeds(this->map(second, 0, read_only, true)));
    EXPECT_TRUE(this->has_page(0, this->wanted_page(second, read_only)));
    EXPECT_EQ(this->tables(), 3U);
    // A page whose four indices are all different from 0.
    constexpr std::uint64_t far = (1ULL << 39) + (2ULL << 30) + (3ULL << 21) + (4ULL << 12);
    ASSERT_TRUE(succeeds(this->map(first, far, read_execute)));
    EXPECT_EQ(this->tables(), 6U);
    Hpa table = this->root();
    for (Level level = vmm::root_level; level > 1; --level) {
        EXPECT_EQ(vmm::table_index(Gpa{far}, level), vmm::root_level - level + 1);
        table = Hpa{*entry_pointer(table, vmm::table_index(Gpa{far}, level)) & address_bits};
    }
    EXPECT_EQ(hex(*entry_pointer(table, 4)), hex(first.value() | TypeParam::leaf(read_execute)));
    EXPECT_EQ(this->all_pages().size(), 2U);
}

TYPED_TEST(EptMapHva2Gpa, APageThatIsThereIsKept) {
    const Hpa before = this->new_page(), after = this->new_page();
    const std::uint64_t gpa = this->some_page();
    std::uint64_t& entry = this->entry_at(gpa);
    for (const auto permission : {read_only, read_write_execute}) {
        entry = before.value() | TypeParam::leaf(permission) | TypeParam::noted;
        const std::uint64_t kept = entry;
        EXPECT_TRUE(fails_with(this->map(after, gpa), Error::AlreadyExists));
        EXPECT_TRUE(fails_with(this->map(before, gpa, permission), Error::AlreadyExists))
            << "the same frame again";
        EXPECT_EQ(hex(entry), hex(kept)) << "the entry, after the refusal";
    }
}

TYPED_TEST(EptMapHva2Gpa, ALargePageIsKept) {
    const Hpa frame = this->new_page();
    const std::uint64_t gpa = 7 * large_page;
    std::uint64_t& entry = this->entry_at(gpa, 2);
    const std::uint64_t kept = 1ULL << 36 | TypeParam::page | large_bit;
    entry = kept;
    for (const bool overwrite : {false, true})
        for (const std::uint64_t at : {std::uint64_t{0}, 5 * page, large_page - page}) {
            EXPECT_TRUE(fails_with(this->map(frame, gpa + at, read_write_execute, overwrite),
                                   Error::AlreadyExists))
                << hex(gpa + at) << (overwrite ? ", with overwrite" : "");
            EXPECT_EQ(hex(entry), hex(kept)) << "the large page's entry";
        }
    EXPECT_EQ(this->tables(), 2U) << "tables below the root";
}

TYPED_TEST(EptMapHva2Gpa, AnHvaWithinAPageIsUnaligned) {
    const Hpa frame = this->new_page();
    for (const std::uint64_t offset : {1, 8, 0x800, 0xfff})
        for (const bool overwrite : {false, true})
            EXPECT_TRUE(fails_with(this->map(frame + offset, 0x5000, read_write_execute, overwrite),
                                   Error::Unaligned))
                << "offset " << hex(offset);
    this->expect_nothing_made();
}

TYPED_TEST(EptMapHva2Gpa, AGpaWithinAPageIsUnaligned) {
    const Hpa frame = this->new_page();
    for (const std::uint64_t offset : {1, 8, 0x800, 0xfff})
        for (const bool overwrite : {false, true})
            EXPECT_TRUE(fails_with(this->map(frame, 0x5000 + offset, read_write_execute, overwrite),
                                   Error::Unaligned))
                << "offset " << hex(offset);
    this->expect_nothing_made();
}

TYPED_TEST(EptMapHva2Gpa, BeyondGuestPhysicalMemoryIsOutOfRange) {
    const Hpa frame = this->new_page();
    constexpr std::uint64_t end = 1ULL << 40;
    for (const std::uint64_t gpa :
         {end, end + page, end << 8, std::numeric_limits<std::uint64_t>::max() - page + 1})
        for (const bool overwrite : {false, true})
            EXPECT_TRUE(
                fails_with(this->map(frame, gpa, read_write_execute, overwrite), Error::OutOfRange))
                << hex(gpa);
    this->expect_nothing_made();
}

TYPED_TEST(EptMapHva2Gpa, APermissionWithoutReadIsInvalid) {
    const Hpa frame = this->new_page();
    for (const auto permission :
         {Permission{}, Permission{.write = true}, Permission{.execute = true},
          Permission{.write = true, .execute = true}})
        for (const bool overwrite : {false, true})
            EXPECT_TRUE(
                fails_with(this->map(frame, 0x5000, permission, overwrite), Error::InvalidArgument))
                << (permission.write ? "write " : "") << (permission.execute ? "execute" : "");
    this->expect_nothing_made();
}

TYPED_TEST(EptMapHva2Gpa, OutOfMemoryForAnyTable) {
    const Hpa frame = this->new_page();
    const std::uint64_t gpa = this->some_page();
    for (std::uint64_t there = 0; there < 3; ++there) {  // tables that earlier turns left
        kern::frames().fail_from(1);
        EXPECT_TRUE(fails_with(this->map(frame, gpa), Error::OutOfMemory)) << "table " << there + 1;
        EXPECT_EQ(this->tables(), there) << "tables below the root, after the error";
        kern::frames().fail_from(2);
        if (there < 2) {
            EXPECT_TRUE(fails_with(this->map(frame, gpa), Error::OutOfMemory))
                << "table " << there + 2;
            EXPECT_EQ(this->tables(), there + 1) << "tables below the root, after the error";
        }
        EXPECT_EQ(this->all_pages().size(), 0U) << "pages in the table, after errors";
    }
    kern::frames().fail_from(0);
    EXPECT_TRUE(succeeds(this->map(frame, gpa))) << "the next attempt";
    EXPECT_TRUE(this->has_page(gpa, this->wanted_page(frame)));
    EXPECT_EQ(this->tables(), 3U) << "tables below the root";
}

}  // namespace
}  // namespace lab
