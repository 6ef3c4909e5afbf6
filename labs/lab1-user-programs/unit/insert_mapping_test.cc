// SPDX-License-Identifier: MIT
// Task lab1.insert_mapping.
#include <array>
#include <initializer_list>
#include <utility>

#include "kern/mm/ptab.hh"
#include "page_table.hh"

namespace lab {
namespace {

using kern::Attributes;
using kern::Hpa;
using kern::Ptab;
using kern::Uva;

constexpr std::uint64_t page = 4096;
constexpr std::uint64_t lower_half_end = 1ULL << 47;
constexpr std::uint64_t physical_end = 1ULL << 52;
constexpr Attributes user_data =
    Attributes::present | Attributes::write | Attributes::user | Attributes::no_execute;
constexpr Attributes user_code = Attributes::present | Attributes::user;
/// What an entry on the way has: cases that are about places alone map their pages with it.
constexpr Attributes all_rights = Attributes::present | Attributes::write | Attributes::user;

/// One address for each of the four tables on the way: neighbours of `base` in them.
constexpr std::array<std::uint64_t, 4> steps{1ULL << 12, 1ULL << 21, 1ULL << 30, 1ULL << 39};

class InsertMapping : public MachineTest {
   protected:
    void SetUp() override {
        MachineTest::SetUp();
        auto made = Ptab::create();
        if (!made) FAIL() << "the test has no frame for a root";
        table_.emplace(std::move(*made));
        tables_at_start_ = taken(kern::frame_owner::page_table);
    }
    void clear() override { table_.reset(); }

    std::expected<void, Error> insert(std::uint64_t virt, std::uint64_t phys, Attributes attr) {
        return table_->insert_mapping(Uva{virt}, Hpa{phys}, attr);
    }
    /// Maps a page, and remembers what the processor must find.
    void map(std::uint64_t virt, std::uint64_t phys, Attributes attr) {
        ASSERT_TRUE(succeeds(insert(virt, phys, attr))) << "at " << hex(virt);
        const auto bits = std::to_underlying(attr);
        wanted_[virt] = {.frame = phys,
                         .write = (bits & walker::rw) != 0,
                         .user = (bits & walker::us) != 0,
                         .execute = (bits & walker::nx) == 0,
                         .entry = phys | bits};
    }
    void remove(std::uint64_t virt, std::uint64_t phys = 0) {
        ASSERT_TRUE(succeeds(insert(virt, phys, Attributes::none))) << "at " << hex(virt);
        wanted_.erase(virt);
    }
    ::testing::AssertionResult all_is_as_wanted() const {
        return same_pages(walk(table_->root()), wanted_);
    }
    /// The same, but only where each page lies: for cases that are not about rights.
    ::testing::AssertionResult places_are_as_wanted() const {
        return same_places(walk(table_->root()), wanted_);
    }
    /// Tables made since the root.
    std::uint64_t tables() const { return taken(kern::frame_owner::page_table) - tables_at_start_; }
    std::uint64_t root() const { return table_->root().value(); }

    static std::uint64_t some_page() { return random().page_between(1, lower_half_end / page - 2); }
    /// One as today's machines have it: cases about great addresses say so.
    static std::uint64_t some_frame() { return random().page_between(1, 0xf'ffff); }
    /// A page with neighbours on every side in each of its tables, and small numbers for indices.
    static std::uint64_t inner_page() {
        std::uint64_t address = 0;
        for (const std::uint64_t step : steps) address += random().between(2, 100) * step;
        return address;
    }
    /// The entry for `virt` in the table of `level`, the last of which is 0; null if there is no
    /// such table.
    std::uint64_t* entry_of(std::uint64_t virt, unsigned level = 0) const {
        std::uint64_t table = root();
        for (unsigned above = 3; above > level; --above) {
            const std::uint64_t entry = walker::entry_at(table, virt / steps[above] % 512);
            table = entry & walker::frame_mask;
            if ((entry & walker::p) == 0 ||
                !kern::frames().is_owned_by(kern::frame_owner::page_table, Hpa{table}))
                return nullptr;
        }
        return &walker::entry_at(table, virt / steps[level] % 512);
    }
    /// The same in words.
    std::string entry_in_words(std::uint64_t virt, unsigned level = 0) const {
        const auto* const entry = entry_of(virt, level);
        return entry != nullptr ? hex(*entry) : "in no table";
    }
    static Attributes some_rights() {
        auto attr = Attributes::present;
        if (random().between(0, 1)) attr = attr | Attributes::write;
        if (random().between(0, 1)) attr = attr | Attributes::user;
        if (random().between(0, 1)) attr = attr | Attributes::no_execute;
        return attr;
    }

   private:
    std::optional<Ptab> table_;
    std::uint64_t tables_at_start_ = 0;
    WalkedPages wanted_;
};

TEST_F(InsertMapping, MapsOnePage) {
    map(inner_page(), some_frame(), all_rights);
    EXPECT_TRUE(places_are_as_wanted());
}

TEST_F(InsertMapping, KeepsAllBitsOfThePhysicalAddress) {
    const std::uint64_t base = inner_page();
    map(base, physical_end - page, all_rights);
    map(base + page, 0, all_rights);
    map(base + 2 * page, 1ULL << 32, all_rights);
    map(base + 3 * page, random().page_between(1ULL << 21, physical_end / page - 1), all_rights);
    EXPECT_TRUE(places_are_as_wanted());
}

TEST_F(InsertMapping, MapsTheFirstAndTheLastPageOfTheLowerHalf) {
    auto* const upper = reinterpret_cast<std::uint64_t*>(kern::arch::direct_map(Hpa{root()}));
    std::vector<std::uint64_t> before(upper + 256, upper + 512);
    map(0, some_frame(), all_rights);
    map(lower_half_end - page, some_frame(), all_rights);
    EXPECT_TRUE(places_are_as_wanted());
    EXPECT_EQ(std::vector<std::uint64_t>(upper + 256, upper + 512), before)
        << "the root's upper half is the kernel's";
}

TEST_F(InsertMapping, UsesAllNineBitsOfEachLevel) {
    for (const std::uint64_t step : steps)
        for (const std::uint64_t index :
             std::initializer_list<std::uint64_t>{0, 1, 127, 128, 255, 256, 511})
            if ((index != 0 || step == steps[0]) && index * step < lower_half_end)
                map(index * step, some_frame(), all_rights);
    for (int i = 0; i < 40; ++i) map(some_page(), some_frame(), all_rights);
    EXPECT_TRUE(places_are_as_wanted());
}

TEST_F(InsertMapping, GivesEachPageItsRights) {
    const std::uint64_t base = inner_page();
    for (std::uint64_t i = 0; i < 32; ++i) {
        auto attr = Attributes::present;
        if ((i & 1) != 0) attr = attr | Attributes::write;
        if ((i & 2) != 0) attr = attr | Attributes::user;
        if ((i & 4) != 0) attr = attr | Attributes::no_execute;
        if ((i & 8) != 0) attr = attr | Attributes::accessed;
        if ((i & 16) != 0) attr = attr | Attributes::dirty;
        const std::uint64_t frame = some_frame();
        map(base + i * page, frame, attr);
        EXPECT_EQ(entry_in_words(base + i * page), hex(frame | std::to_underlying(attr)))
            << "the last entry: phys with exactly the bits of attr, which are "
            << hex(std::to_underlying(attr));
    }
}

TEST_F(InsertMapping, LetsOnlyTheLastLevelRestrict) {
    // The first page makes the tables; it may do nothing. The others share them, and may do all.
    const std::uint64_t base = inner_page();
    map(base, some_frame(),
        Attributes::present | Attributes::no_execute | Attributes::accessed | Attributes::dirty);
    for (unsigned level = 1; level < steps.size(); ++level) {
        const auto* const entry = entry_of(base, level);
        ASSERT_NE(entry, nullptr) << "no table on the way, " << level << " above the last";
        EXPECT_EQ(hex(*entry & ~walker::frame_mask), hex(walker::p | walker::rw | walker::us))
            << "the attributes of the entry on the way, " << level
            << " above the last: present, write and user";
    }
    for (const std::uint64_t step : steps) map(base + step, some_frame(), all_rights);
    WalkedPages pages = walk(Hpa{root()});
    for (const std::uint64_t step : steps) {
        const auto& found = pages[base + step];
        EXPECT_TRUE(found.write && found.user && found.execute)
            << "the page at " << hex(base + step) << ", which may do all, is " << in_words(found);
    }
}

TEST_F(InsertMapping, KeepsNeighboursInEveryTable) {
    const std::uint64_t base = inner_page();
    map(base, some_frame(), all_rights);
    for (const std::uint64_t step : steps) {
        map(base + step, some_frame(), all_rights);
        map(base - step, some_frame(), all_rights);
        EXPECT_TRUE(places_are_as_wanted()) << "with neighbours " << hex(step) << " away";
    }
}

TEST_F(InsertMapping, MakesATableOnlyWhereOneIsMissing) {
    const std::uint64_t base = inner_page();
    map(base, some_frame(), all_rights);
    EXPECT_EQ(tables(), 3U) << "tables below the root for the first page";
    map(base + steps[0], some_frame(), all_rights);
    EXPECT_EQ(tables(), 3U) << "a page in the same last table needs no more";
    map(base + steps[1], some_frame(), all_rights);
    EXPECT_EQ(tables(), 4U) << "a page 2 MiB away needs one";
    map(base + steps[2], some_frame(), all_rights);
    EXPECT_EQ(tables(), 6U) << "a page 1 GiB away needs two";
    map(base + steps[3], some_frame(), all_rights);
    EXPECT_EQ(tables(), 9U) << "a page 512 GiB away needs three";
    (void)insert(base, some_frame(), all_rights);
    EXPECT_EQ(tables(), 9U) << "a page that is there already needs none";
}

TEST_F(InsertMapping, MindsNotWhatTheProcessorSets) {
    // A processor that uses a page marks every entry on the way as accessed, and the last as dirty.
    constexpr std::uint64_t accessed = 0x20, dirty = 0x40;
    const std::uint64_t base = inner_page();
    map(base, some_frame(), all_rights);
    for (unsigned level = 0; level < steps.size(); ++level) {
        auto* const entry = entry_of(base, level);
        ASSERT_NE(entry, nullptr) << "no table on the way to the page, " << level
                                  << " above the last";
        *entry |= level == 0 ? accessed | dirty : accessed;
    }
    for (const std::uint64_t step : steps) map(base + step, some_frame(), all_rights);
    EXPECT_TRUE(places_are_as_wanted());
    EXPECT_EQ(tables(), 9U) << "tables, of which the first three were in use";
}

TEST_F(InsertMapping, KeepsTwoTablesApart) {
    // Two programs have the same addresses.
    auto other = Ptab::create();
    if (!other) FAIL() << "the test has no frame for a root";
    WalkedPages wanted;
    const std::uint64_t base = inner_page();
    for (std::uint64_t i = 0; i < 4; ++i) {
        map(base + i * page, some_frame(), all_rights);
        const std::uint64_t frame = some_frame();
        ASSERT_TRUE(succeeds(other->insert_mapping(Uva{base + i * page}, Hpa{frame}, all_rights)));
        wanted[base + i * page] = {.frame = frame};
    }
    EXPECT_TRUE(places_are_as_wanted()) << "in the first program's tables";
    EXPECT_TRUE(same_places(walk(other->root()), wanted)) << "in the second program's tables";
}

TEST_F(InsertMapping, ReplacesAMapping) {
    const std::uint64_t base = inner_page();
    const std::uint64_t frame = some_frame();
    map(base + page, some_frame(), all_rights);
    map(base, frame, user_data);
    map(base, frame, user_data);
    EXPECT_TRUE(all_is_as_wanted()) << "the same page, mapped twice";
    map(base, some_frame(), user_code);
    EXPECT_TRUE(all_is_as_wanted()) << "another frame, and fewer rights";
    map(base, frame, all_rights);
    EXPECT_TRUE(all_is_as_wanted()) << "the first frame again, and more rights";
}

TEST_F(InsertMapping, RemovesAMapping) {
    const std::uint64_t base = inner_page();
    const std::uint64_t frame = some_frame();
    map(base, frame, all_rights);
    map(base + page, some_frame(), all_rights);
    remove(base, frame);
    EXPECT_TRUE(places_are_as_wanted());
    // The whole entry is 0: what is left in it would come back with the present bit.
    EXPECT_EQ(entry_in_words(base), hex(0)) << "the last entry of the page that was removed";
    remove(base, frame);
    EXPECT_TRUE(places_are_as_wanted()) << "removed a second time";
    map(base, some_frame(), all_rights);
    EXPECT_TRUE(places_are_as_wanted()) << "mapped again";
}

TEST_F(InsertMapping, RemovesWhateverElseAttrAndPhysSay) {
    const std::uint64_t base = inner_page();
    const Attributes without_present[] = {
        Attributes::write, Attributes::user | Attributes::no_execute,
        Attributes::accessed | Attributes::dirty,
        Attributes::write | Attributes::user | Attributes::no_execute};
    map(base + page, some_frame(), all_rights);
    for (const Attributes attr : without_present)
        for (const std::uint64_t phys :
             std::initializer_list<std::uint64_t>{0x5000, 0x5001, ~0ULL}) {
            map(base, some_frame(), all_rights);
            ASSERT_TRUE(succeeds(insert(base, phys, attr)))
                << "attr is " << hex(std::to_underlying(attr)) << ", without present; phys is "
                << hex(phys);
            EXPECT_EQ(entry_in_words(base), hex(0))
                << "the last entry, when attr was " << hex(std::to_underlying(attr))
                << ", without present";
        }
}

TEST_F(InsertMapping, RemovesWhatIsNotThere) {
    const std::uint64_t base = inner_page();
    map(base, some_frame(), all_rights);
    const std::uint64_t before = tables();
    for (const std::uint64_t step : steps) remove(base + step, 0x5000);
    EXPECT_EQ(tables(), before) << "tables: none is made for a page that is to be removed";
    EXPECT_TRUE(places_are_as_wanted());
}

TEST_F(InsertMapping, AgreesWithAModel) {
    // Pages near each other in each of the four ways, so that tables are shared, and at any
    // distance; more of them than a table has entries.
    std::array<std::uint64_t, 3> bases{some_page() / 2 / page * page, inner_page(), inner_page()};
    for (int i = 0; i < 3'000; ++i) {
        std::uint64_t at = bases[random().between(0, 2)];
        for (const std::uint64_t step : steps) at += random().between(0, 2) * step;
        if (i % 3 == 0) at += random().page_between(0, 511 * 512);
        if (random().between(0, 2) == 0)
            remove(at);
        else
            map(at, random().page_between(1, physical_end / page - 1), some_rights());
        if (i % 300 == 0) {
            ASSERT_TRUE(all_is_as_wanted()) << "after " << i << " steps";
        }
    }
    EXPECT_TRUE(all_is_as_wanted());
}

TEST_F(InsertMapping, RefusesAddressesThatAreNotAligned) {
    const std::uint64_t base = inner_page();
    map(base, some_frame(), all_rights);
    for (const std::uint64_t bytes : std::initializer_list<std::uint64_t>{
             std::uint64_t{1}, random().between(2, 4094), page - 1}) {
        EXPECT_TRUE(fails_with(insert(base + bytes, 0x5000, all_rights), Error::Unaligned))
            << "virt is " << bytes << " bytes off";
        EXPECT_TRUE(fails_with(insert(base, 0x5000 + bytes, all_rights), Error::Unaligned))
            << "phys is " << bytes << " bytes off";
        EXPECT_TRUE(fails_with(insert(base + bytes, 0, Attributes::none), Error::Unaligned))
            << "virt of a removal is " << bytes << " bytes off";
        EXPECT_TRUE(fails_with(insert(inner_page() + bytes, 0x5000, all_rights), Error::Unaligned))
            << "virt is " << bytes << " bytes off, where no table may be yet";
    }
    EXPECT_TRUE(places_are_as_wanted()) << "after an error every page is translated as before";
}

TEST_F(InsertMapping, RefusesWhatLiesOutside) {
    map(inner_page(), some_frame(), all_rights);
    map(0, some_frame(), all_rights);
    for (const std::uint64_t virt : std::initializer_list<std::uint64_t>{
             lower_half_end, lower_half_end + page, 1ULL << 48, ~0ULL << 47, 0 - page,
             0xffff'ffff'8010'0000ULL, (1ULL << 52) + page, 1ULL << 63})
        for (const Attributes attr : {all_rights, Attributes::none})
            EXPECT_TRUE(fails_with(insert(virt, 0x5000, attr), Error::OutOfRange))
                << "virt is " << hex(virt);
    for (const std::uint64_t phys :
         std::initializer_list<std::uint64_t>{physical_end, 1ULL << 62, 1ULL << 63, 0 - page})
        EXPECT_TRUE(fails_with(insert(0, phys, all_rights), Error::OutOfRange))
            << "phys is " << hex(phys);
    EXPECT_TRUE(places_are_as_wanted()) << "after an error every page is translated as before";
}

TEST_F(InsertMapping, ReportsAMissingFrameWhicheverItIs) {
    const std::uint64_t base = inner_page();
    map(base, some_frame(), all_rights);
    for (unsigned level = 1; level < steps.size(); ++level) {
        // A page so far away needs as many tables.
        for (unsigned good = 0; good < level; ++good) {
            const std::uint64_t at = base + (good + 1) * steps[level];
            kern::frames().fail_from(good + 1);
            EXPECT_TRUE(fails_with(insert(at, 0x5000, all_rights), Error::OutOfMemory))
                << "frame " << good + 1 << " of " << level << " is missing";
            kern::frames().fail_from(0);
            ASSERT_TRUE(places_are_as_wanted())
                << "frame " << good + 1 << " of " << level << " was missing";
            map(at, some_frame(), all_rights);
            EXPECT_TRUE(places_are_as_wanted()) << "the same page, when there are frames again";
        }
    }
}

TEST_F(InsertMapping, NeedsNoFrameWhereNoTableIsMissing) {
    const std::uint64_t base = inner_page();
    map(base, some_frame(), all_rights);
    kern::frames().fail_from(1);
    map(base + page, some_frame(), all_rights);
    map(base, some_frame(), all_rights);
    remove(base + page);
    for (const std::uint64_t step : steps) remove(base + step);
    kern::frames().fail_from(0);
    EXPECT_TRUE(places_are_as_wanted()) << "while no frame was left, and none was needed";
}

}  // namespace
}  // namespace lab
