// SPDX-License-Identifier: MIT
// Task lab2.ept_lookup_gpa.
#include <array>
#include <limits>
#include <map>
#include <set>

#include "tables.hh"

namespace lab {
namespace {

template <class Format>
class EptLookupGpa : public TableTest<Format> {
   protected:
    std::expected<vmm::WalkResult, Error> lookup(std::uint64_t gpa, Level target,
                                                 MissingTable missing) const {
        return vmm::ept_lookup_gpa(Format::format(), this->root(), Gpa{gpa}, target, missing);
    }
    /// Whether the walk ended at this entry, of a table of `level`, and says what it holds.
    static ::testing::AssertionResult ends_at(const std::expected<vmm::WalkResult, Error>& result,
                                              const std::uint64_t& entry, Level level) {
        if (!result)
            return ::testing::AssertionFailure()
                   << "error \"" << describe(result.error()) << "\", wanted is success";
        if (result->level != level)
            return ::testing::AssertionFailure()
                   << "the walk ended in level " << result->level << ", wanted is " << level;
        if (result->entry != &entry)
            return ::testing::AssertionFailure()
                   << "the entry is " << place_of(result->entry) << "; wanted is "
                   << place_of(&entry) << ", in the tables of level " << level;
        if (result->value != entry)
            return ::testing::AssertionFailure() << "the value is " << hex(result->value)
                                                 << ", and the entry holds " << hex(entry);
        return ::testing::AssertionSuccess();
    }
    /// An entry's index, and where its table is.
    static std::string place_of(const std::uint64_t* entry) {
        const auto address = reinterpret_cast<std::uintptr_t>(entry);
        return "number " + std::to_string(address % page / sizeof *entry) +
               " of the table that the kernel sees at " + hex(address & ~(page - 1));
    }
    /// An address with four different indices, and somewhere in its page. Large indices have a case
    /// of their own.
    static std::uint64_t some_address() {
        const std::uint64_t root_index =
            random().between(0, 1);  // 2^40 bytes are two of its entries
        return root_index << 39 | random().between(2, 40) << 30 | random().between(41, 80) << 21 |
               random().between(81, 120) << 12 | random().between(1, 4095);
    }
};
TYPED_TEST_SUITE(EptLookupGpa, Formats, FormatNames);

TYPED_TEST(EptLookupGpa, FindsThePageEntry) {
    const std::uint64_t gpa = this->some_address();
    std::uint64_t& entry = this->entry_at(gpa);
    entry = this->new_page().value() | TypeParam::page;
    EXPECT_TRUE(this->ends_at(this->lookup(gpa, 1, MissingTable::Stop), entry, 1)) << hex(gpa);
    EXPECT_TRUE(this->ends_at(this->lookup(gpa, 1, MissingTable::Make), entry, 1)) << hex(gpa);
    EXPECT_EQ(this->tables(), 3U) << "tables below the root";
}

TYPED_TEST(EptLookupGpa, FindsNeighboursInEveryTable) {
    const std::uint64_t gpa = this->some_address() & ((1ULL << 39) - 1);
    for (const std::uint64_t step : {0ULL, 1ULL << 12, 1ULL << 21, 1ULL << 30, 1ULL << 39}) {
        std::uint64_t& entry = this->entry_at(gpa + step);
        entry = this->new_page().value() | TypeParam::page;
    }
    for (const std::uint64_t step : {0ULL, 1ULL << 12, 1ULL << 21, 1ULL << 30, 1ULL << 39})
        EXPECT_TRUE(this->ends_at(this->lookup(gpa + step, 1, MissingTable::Stop),
                                  this->entry_at(gpa + step), 1))
            << hex(gpa + step);
}

TYPED_TEST(EptLookupGpa, FindsTheFirstAndTheLastEntries) {
    for (const std::uint64_t gpa : {std::uint64_t{0}, std::uint64_t{511} << 12, 511 * large_page,
                                    std::uint64_t{511} << 30, last_page + page - 1}) {
        std::uint64_t& entry = this->entry_at(gpa);
        EXPECT_TRUE(this->ends_at(this->lookup(gpa, 1, MissingTable::Stop), entry, 1)) << hex(gpa);
    }
}

TYPED_TEST(EptLookupGpa, FindsEveryEntryOfATable) {
    for (Level level = 1; level < vmm::root_level; ++level) {
        const Hpa table = this->table_at(0, level);
        for (std::uint64_t index = 0; index < 512; ++index) {
            const std::uint64_t gpa = index << (3 + 9 * level);
            ASSERT_TRUE(this->ends_at(this->lookup(gpa, level, MissingTable::Stop),
                                      *entry_pointer(table, index), level))
                << hex(gpa) << ", target " << level;
        }
    }
}

TYPED_TEST(EptLookupGpa, GoesToAnyAddress) {
    // More places than an answer could keep, at distances that are no power of two, each twice.
    std::map<std::uint64_t, std::uint64_t*> found;
    std::set<std::uint64_t> tables;
    for (unsigned i = 0; i < 200; ++i) {
        const std::uint64_t gpa = random().page_between(0, last_page / page);
        found[gpa] = nullptr;
        for (const unsigned shift : {21, 30, 39}) tables.insert((gpa >> shift) << 6 | shift);
    }
    for (const unsigned turn : {1, 2})
        for (auto& [gpa, entry] : found) {
            const auto result = this->lookup(gpa, 1, MissingTable::Make);
            ASSERT_TRUE(this->ends_at(result, this->entry_at(gpa), 1)) << hex(gpa);
            if (turn == 2) {
                ASSERT_EQ(result->entry, entry) << hex(gpa) << ", walked to again";
            }
            entry = result->entry;
        }
    EXPECT_EQ(this->tables(), tables.size()) << "tables below the root, for 200 pages";
}

TYPED_TEST(EptLookupGpa, EachTreeIsItsOwn) {
    const Hpa other = this->new_table();
    const std::uint64_t gpa = this->some_address();
    for (unsigned turn = 0; turn < 2; ++turn) {
        const auto here = this->lookup(gpa, 1, MissingTable::Make);
        const auto there =
            vmm::ept_lookup_gpa(TypeParam::format(), other, Gpa{gpa}, 1, MissingTable::Make);
        ASSERT_TRUE(succeeds(here));
        ASSERT_TRUE(succeeds(there));
        EXPECT_TRUE(this->ends_at(here, this->entry_at(gpa), 1)) << "of the first tree";
        EXPECT_NE(here->entry, there->entry) << "the same entry, in the trees of two guests";
    }
    EXPECT_EQ(this->tables(), 3 + 1 + 3U) << "tables: three of each tree, and the other root";
    this->free_tree(other, vmm::root_level);
}

TYPED_TEST(EptLookupGpa, BitsBesideTheAddressDoNotLeadAstray) {
    const std::uint64_t gpa = this->some_address();
    std::uint64_t& entry = this->entry_at(gpa);
    // What software may note in an entry; on AMD also no-execute, which tables may have.
    const std::uint64_t beside = TypeParam::is_ept ? 0x7ff0'0000'0000'0800 : 0xfff0'0000'0000'0e00;
    for (Level level = vmm::root_level; level > 1; --level) this->entry_at(gpa, level) |= beside;
    for (const auto missing : {MissingTable::Stop, MissingTable::Make})
        EXPECT_TRUE(this->ends_at(this->lookup(gpa, 1, missing), entry, 1))
            << hex(gpa) << ", through entries with the bits " << hex(beside)
            << ", which are no part of the address";
}

TYPED_TEST(EptLookupGpa, EndsInTheLevelThatIsWanted) {
    const std::uint64_t gpa = this->some_address();
    this->entry_at(gpa) = this->new_page().value() | TypeParam::page;
    for (Level level = 1; level <= vmm::root_level; ++level)
        EXPECT_TRUE(this->ends_at(this->lookup(gpa, level, MissingTable::Stop),
                                  this->entry_at(gpa, level), level))
            << hex(gpa) << ", target " << level;
}

TYPED_TEST(EptLookupGpa, StopsWhereATableIsMissing) {
    for (Level level = vmm::root_level; level > 1; --level) {
        const std::uint64_t gpa = this->some_address();
        std::uint64_t& entry = this->entry_at(gpa, level);
        if (entry != 0) continue;  // an earlier turn made it
        const std::uint64_t before = this->tables();
        EXPECT_TRUE(this->ends_at(this->lookup(gpa, 1, MissingTable::Stop), entry, level))
            << hex(gpa);
        EXPECT_EQ(this->tables(), before) << "tables, after a walk that must make none";
        EXPECT_EQ(entry, 0U) << "the absent entry has changed";
    }
}

TYPED_TEST(EptLookupGpa, StopsWithoutAskingForFrames) {
    kern::frames().fail_from(1);
    const std::uint64_t before = kern::frames().requests();
    EXPECT_TRUE(succeeds(this->lookup(this->some_address(), 1, MissingTable::Stop)));
    EXPECT_EQ(kern::frames().requests(), before) << "frames asked for";
}

TYPED_TEST(EptLookupGpa, MakesTheTablesThatAreMissing) {
    const std::uint64_t gpa = this->some_address();
    const auto found = this->lookup(gpa, 1, MissingTable::Make);
    EXPECT_EQ(this->tables(), 3U) << "tables below the root, made for one page";
    ASSERT_TRUE(this->ends_at(found, this->entry_at(gpa), 1)) << hex(gpa);
    EXPECT_EQ(found->value, 0U) << "the new table's entry";
    EXPECT_EQ(this->tables(), 3U) << "the tables are not linked to the root";
    EXPECT_EQ(this->entries_in_use(), 3U) << "entries that are not 0, in all tables";
}

TYPED_TEST(EptLookupGpa, TakesTablesOnTheirOwnAccount) {
    const std::uint64_t gpa = this->some_address();
    ASSERT_TRUE(succeeds(this->lookup(gpa, 1, MissingTable::Make)));
    ASSERT_EQ(this->tables(), 3U);
    for (Level level = 1; level < vmm::root_level; ++level) {
        const Hpa table = this->table_at(gpa, level);
        EXPECT_TRUE(kern::frames().is_owned_by(vmm::frame_owner::second_level_table, table))
            << "the new table of level " << level << " is on " << vmm::test::account_of(table)
            << "; wanted is \"second-level table\"";
    }
}

TYPED_TEST(EptLookupGpa, NewTablesGrantEverything) {
    const std::uint64_t gpa = this->some_address();
    const auto found = this->lookup(gpa, 1, MissingTable::Make);
    ASSERT_TRUE(succeeds(found));
    ASSERT_EQ(this->tables(), 3U);
    for (Level level = vmm::root_level; level > 1; --level)
        EXPECT_EQ(this->entry_at(gpa, level) & ~address_bits, TypeParam::link)
            << "the bits beside the address, in the entry of level " << level;
    const Hpa frame = this->new_page();
    *found->entry = frame.value() | TypeParam::page;
    EXPECT_TRUE(this->has_page(gpa & ~(page - 1), this->wanted_page(frame)));
}

TYPED_TEST(EptLookupGpa, MakesNoTableBelowTheTarget) {
    std::uint64_t wanted = 0;
    for (Level level = vmm::root_level; level >= 1; --level) {
        const std::uint64_t gpa = (vmm::root_level - level) * (1ULL << 30);
        ASSERT_TRUE(succeeds(this->lookup(gpa, level, MissingTable::Make)));
        // Target 3 needs a table of level 3; the ones after it have that one already.
        wanted += level == vmm::root_level ? 0 : level == 3 ? 1 : 3 - level;
        EXPECT_EQ(this->tables(), wanted) << "tables below the root, after target " << level;
    }
}

TYPED_TEST(EptLookupGpa, MakesOnlyWhatIsMissing) {
    const std::uint64_t gpa = this->some_address() & ((1ULL << 39) - 1);
    struct Step {
        std::uint64_t distance, tables;
    };
    // On the way: all; the same ones; a table of level 1, of 2 and 1, of 3 to 1.
    for (const auto& [distance, tables] : {Step{0, 3}, Step{page, 3}, Step{large_page, 4},
                                           Step{1ULL << 30, 6}, Step{1ULL << 39, 9}}) {
        ASSERT_TRUE(succeeds(this->lookup(gpa + distance, 1, MissingTable::Make)));
        EXPECT_EQ(this->tables(), tables)
            << "tables below the root, with the page at " << hex(gpa + distance);
    }
    for (const std::uint64_t distance : {0ULL, 1ULL << 39})
        ASSERT_TRUE(succeeds(this->lookup(gpa + distance, 1, MissingTable::Make)));
    EXPECT_EQ(this->tables(), 9U) << "tables, after walks that found all they need";
}

TYPED_TEST(EptLookupGpa, LeavesEntriesThatArePresentAlone) {
    const std::uint64_t gpa = this->some_address();
    this->entry_at(gpa) = this->new_page().value() | TypeParam::page | TypeParam::noted;
    std::array<std::uint64_t, 5> before{};
    for (Level level = vmm::root_level; level >= 1; --level) {
        if (level > 1)  // as the processor notes that it went through
            this->entry_at(gpa, level) |= TypeParam::noted & ~(TypeParam::noted << 1);
        before[level] = this->entry_at(gpa, level);
    }
    EXPECT_TRUE(this->ends_at(this->lookup(gpa, 1, MissingTable::Make), this->entry_at(gpa), 1));
    for (Level level = vmm::root_level; level >= 1; --level)
        EXPECT_EQ(hex(this->entry_at(gpa, level)), hex(before[level]))
            << "the entry of level " << level;
}

TYPED_TEST(EptLookupGpa, EndsAtALargePage) {
    struct Large {
        Level level;
        std::uint64_t gpa;
    };
    for (const auto& [level, gpa] : {Large{2, 3 * large_page}, Large{3, 5ULL << 30}}) {
        std::uint64_t& entry = this->entry_at(gpa, level);
        entry = (1ULL << 36) | TypeParam::page | large_bit;
        const std::uint64_t before = this->tables();
        for (const auto missing : {MissingTable::Stop, MissingTable::Make})
            EXPECT_TRUE(this->ends_at(this->lookup(gpa + 0x12'3456, 1, missing), entry, level))
                << "a large page of level " << level;
        EXPECT_EQ(this->tables(), before) << "tables, after a walk to a large page";
        EXPECT_EQ(hex(entry), hex((1ULL << 36) | TypeParam::page | large_bit));
        entry = 0;
    }
}

TYPED_TEST(EptLookupGpa, TheFormatSaysWhatIsPresent) {
    const std::uint64_t gpa = this->some_address();
    std::uint64_t& entry = this->entry_at(gpa, 3);
    entry = TypeParam::absent;  // many bits, and not one of those that count
    EXPECT_TRUE(this->ends_at(this->lookup(gpa, 1, MissingTable::Stop), entry, 3));
    EXPECT_EQ(hex(entry), hex(TypeParam::absent));
    const auto found = this->lookup(gpa, 1, MissingTable::Make);
    EXPECT_EQ(hex(entry & ~address_bits), hex(TypeParam::link))
        << "the bits beside the address, in an entry that was absent";
    if (entry != TypeParam::absent) {
        EXPECT_TRUE(this->ends_at(found, this->entry_at(gpa), 1));
    }
    if (TypeParam::is_ept) {
        entry = (entry & address_bits) | 4;  // a table from which code may be fetched, and no more
        EXPECT_TRUE(this->ends_at(this->lookup(gpa, 1, MissingTable::Stop), this->entry_at(gpa), 1))
            << "an entry with X alone is present";
    }
    EXPECT_EQ(this->tables(), 3U) << "tables below the root";
}

TYPED_TEST(EptLookupGpa, OutOfMemoryForAnyTable) {
    struct Turn {
        std::uint64_t gpa, failing, tables;
    };
    // Tables of an earlier turn stay, so the last one goes to the other half of guest memory.
    for (const auto& [gpa, failing, tables] :
         {Turn{0, 1, 0}, Turn{0, 2, 1}, Turn{1ULL << 39, 3, 3}}) {
        kern::frames().fail_from(failing);
        EXPECT_TRUE(fails_with(this->lookup(gpa, 1, MissingTable::Make), Error::OutOfMemory))
            << "no frame for the table number " << failing;
        EXPECT_EQ(this->tables(), tables) << "tables below the root that were made and stay";
        EXPECT_EQ(this->entries_in_use(), tables) << "entries of the tree, which point to them";
    }
    kern::frames().fail_from(0);
    EXPECT_TRUE(succeeds(this->lookup(0, 1, MissingTable::Make))) << "the next attempt";
    EXPECT_TRUE(succeeds(this->lookup(1ULL << 39, 1, MissingTable::Make))) << "the next attempt";
    EXPECT_EQ(this->tables(), 6U) << "tables below the root, for two pages far apart";
}

TYPED_TEST(EptLookupGpa, BeyondGuestPhysicalMemoryIsOutOfRange) {
    constexpr std::uint64_t end = 1ULL << 40;
    for (const std::uint64_t gpa :
         {end, end + page, end << 7, end << 8, std::numeric_limits<std::uint64_t>::max()})
        for (const auto missing : {MissingTable::Stop, MissingTable::Make})
            EXPECT_TRUE(fails_with(this->lookup(gpa, 1, missing), Error::OutOfRange)) << hex(gpa);
    EXPECT_EQ(this->tables(), 0U) << "tables below the root, after errors";
}

TYPED_TEST(EptLookupGpa, ThereAreFourLevels) {
    for (const Level target : {0U, 5U, 6U, std::numeric_limits<Level>::max()})
        for (const auto missing : {MissingTable::Stop, MissingTable::Make})
            EXPECT_TRUE(fails_with(this->lookup(page, target, missing), Error::InvalidArgument))
                << "target " << target;
    EXPECT_EQ(this->tables(), 0U) << "tables below the root, after errors";
}

}  // namespace
}  // namespace lab
