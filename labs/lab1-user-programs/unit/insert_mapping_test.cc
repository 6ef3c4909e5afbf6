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

/// One address for each of the four tables on the way: neighbours of `base` in them.
constexpr std::array<std::uint64_t, 4> steps{1ULL << 12, 1ULL << 21, 1ULL << 30, 1ULL << 39};

class InsertMapping : public MachineTest {
   protected:
    void SetUp() override {
        MachineTest::SetUp();
        auto made = Ptab::create();
        ASSERT_TRUE(succeeds(made));
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
    /// Tables made since the root.
    std::uint64_t tables() const { return taken(kern::frame_owner::page_table) - tables_at_start_; }
    std::uint64_t root() const { return table_->root().value(); }

    static std::uint64_t some_page() { return random().page_between(1, lower_half_end / page - 2); }
    static std::uint64_t some_frame() { return random().page_between(1, physical_end / page - 1); }
    /// A page with neighbours on every side in each of its tables.
    static std::uint64_t inner_page() {
        std::uint64_t address = 0;
        for (const std::uint64_t step : steps)
            address += random().between(2, step == steps[3] ? 250 : 500) * step;
        return address;
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
    map(some_page(), some_frame(), user_data);
    EXPECT_TRUE(all_is_as_wanted());
}

TEST_F(InsertMapping, KeepsAllBitsOfThePhysicalAddress) {
    const std::uint64_t base = inner_page();
    map(base, physical_end - page, user_data);
    map(base + page, 0, user_data);
    map(base + 2 * page, 1ULL << 32, user_data);
    EXPECT_TRUE(all_is_as_wanted());
}

TEST_F(InsertMapping, MapsTheFirstAndTheLastPageOfTheLowerHalf) {
    auto* const upper = reinterpret_cast<std::uint64_t*>(kern::arch::direct_map(Hpa{root()}));
    std::vector<std::uint64_t> before(upper + 256, upper + 512);
    map(0, some_frame(), user_code);
    map(lower_half_end - page, some_frame(), user_data);
    EXPECT_TRUE(all_is_as_wanted());
    EXPECT_EQ(std::vector<std::uint64_t>(upper + 256, upper + 512), before)
        << "the root's upper half is the kernel's";
}

TEST_F(InsertMapping, GivesEachPageItsRights) {
    const std::uint64_t base = inner_page();
    for (std::uint64_t i = 0; i < 8; ++i) {
        auto attr = Attributes::present;
        if ((i & 1) != 0) attr = attr | Attributes::write;
        if ((i & 2) != 0) attr = attr | Attributes::user;
        if ((i & 4) != 0) attr = attr | Attributes::no_execute;
        map(base + i * page, some_frame(), attr);
    }
    EXPECT_TRUE(all_is_as_wanted());
}

TEST_F(InsertMapping, LetsOnlyTheLastLevelRestrict) {
    // The first page makes the tables; it may do nothing. The others share them, and may do all.
    const std::uint64_t base = inner_page();
    map(base, some_frame(), Attributes::present | Attributes::no_execute);
    for (const std::uint64_t step : steps)
        map(base + step, some_frame(), Attributes::present | Attributes::write | Attributes::user);
    EXPECT_TRUE(all_is_as_wanted());
}

TEST_F(InsertMapping, KeepsNeighboursInEveryTable) {
    const std::uint64_t base = inner_page();
    map(base, some_frame(), user_data);
    for (const std::uint64_t step : steps) {
        map(base + step, some_frame(), user_code);
        map(base - step, some_frame(), user_data);
        EXPECT_TRUE(all_is_as_wanted()) << "with neighbours " << hex(step) << " away";
    }
}

TEST_F(InsertMapping, UsesAllNineBitsOfEachLevel) {
    for (const std::uint64_t step : steps)
        for (const std::uint64_t index :
             std::initializer_list<std::uint64_t>{0, 1, 127, 128, 255, 256, 511})
            if (index * step < lower_half_end) map(index * step, some_frame(), user_data);
    EXPECT_TRUE(all_is_as_wanted());
}

TEST_F(InsertMapping, MakesATableOnlyWhereOneIsMissing) {
    const std::uint64_t base = inner_page();
    map(base, some_frame(), user_data);
    EXPECT_EQ(tables(), 3U) << "tables below the root for the first page";
    map(base + steps[0], some_frame(), user_data);
    EXPECT_EQ(tables(), 3U) << "a page in the same last table needs no more";
    map(base + steps[1], some_frame(), user_data);
    EXPECT_EQ(tables(), 4U) << "a page 2 MiB away needs one";
    map(base + steps[2], some_frame(), user_data);
    EXPECT_EQ(tables(), 6U) << "a page 1 GiB away needs two";
    map(base + steps[3], some_frame(), user_data);
    EXPECT_EQ(tables(), 9U) << "a page 512 GiB away needs three";
    map(base, some_frame(), user_code);
    EXPECT_EQ(tables(), 9U) << "a page that is there already needs none";
    EXPECT_TRUE(all_is_as_wanted());
}

TEST_F(InsertMapping, MindsNotWhatTheProcessorSets) {
    // A processor that uses a page marks every entry on the way as accessed, and the last as dirty.
    constexpr std::uint64_t accessed = 0x20, dirty = 0x40;
    const std::uint64_t base = inner_page();
    map(base, some_frame(), user_data);
    std::uint64_t table = root();
    for (unsigned level = 3; level > 0; --level) {
        auto& entry = walker::entry_at(table, base / steps[level] % 512);
        entry |= accessed;
        table = entry & walker::frame_mask;
    }
    walker::entry_at(table, base / page % 512) |= accessed | dirty;
    map(base, some_frame(), user_code);
    for (const std::uint64_t step : steps) map(base + step, some_frame(), user_data);
    EXPECT_TRUE(all_is_as_wanted());
    EXPECT_EQ(tables(), 9U);
}

TEST_F(InsertMapping, ReplacesAMapping) {
    const std::uint64_t base = inner_page();
    map(base + page, some_frame(), user_data);
    map(base, some_frame(), user_data);
    map(base, some_frame(), user_code);
    EXPECT_TRUE(all_is_as_wanted());
    map(base, some_frame(), user_data);
    EXPECT_TRUE(all_is_as_wanted());
}

TEST_F(InsertMapping, RemovesAMapping) {
    const std::uint64_t base = inner_page();
    const std::uint64_t frame = some_frame();
    map(base, frame, user_data);
    map(base + page, some_frame(), user_data);
    remove(base, frame);
    EXPECT_TRUE(all_is_as_wanted());

    // The whole entry is 0: what is left in it would come back with the present bit.
    std::uint64_t table = root();
    for (unsigned level = 3; level > 0; --level)
        table = walker::entry_at(table, base / steps[level] % 512) & walker::frame_mask;
    EXPECT_EQ(hex(walker::entry_at(table, base / page % 512)), hex(0)) << "the entry itself";

    map(base, some_frame(), user_code);
    EXPECT_TRUE(all_is_as_wanted()) << "mapped again";
}

TEST_F(InsertMapping, RemovesWhatIsNotThere) {
    const std::uint64_t base = inner_page();
    map(base, some_frame(), user_data);
    const std::uint64_t before = tables();
    for (const std::uint64_t step : steps) remove(base + step, 0x123);
    EXPECT_EQ(tables(), before) << "no table is made for nothing; phys means nothing here";
    EXPECT_TRUE(all_is_as_wanted());
}

TEST_F(InsertMapping, AgreesWithAModel) {
    // Pages that are near each other in each of the four ways, so that tables are shared.
    std::array<std::uint64_t, 3> bases{inner_page(), inner_page(), inner_page()};
    for (int i = 0; i < 3'000; ++i) {
        std::uint64_t at = bases[random().between(0, 2)];
        for (const std::uint64_t step : steps) at += random().between(0, 2) * step;
        if (random().between(0, 2) == 0)
            remove(at);
        else
            map(at, some_frame(), some_rights());
        if (i % 300 == 0) {
            ASSERT_TRUE(all_is_as_wanted()) << "after " << i << " steps";
        }
    }
    EXPECT_TRUE(all_is_as_wanted());
}

TEST_F(InsertMapping, RefusesAddressesThatAreNotAligned) {
    const std::uint64_t base = inner_page();
    map(base, some_frame(), user_data);
    const std::uint64_t before = tables();
    for (const std::uint64_t bytes : std::initializer_list<std::uint64_t>{
             std::uint64_t{1}, random().between(2, 4094), page - 1}) {
        EXPECT_TRUE(fails_with(insert(base + bytes, 0x5000, user_data), Error::Unaligned))
            << "virt is " << bytes << " bytes off";
        EXPECT_TRUE(fails_with(insert(base, 0x5000 + bytes, user_data), Error::Unaligned))
            << "phys is " << bytes << " bytes off";
        EXPECT_TRUE(fails_with(insert(base + bytes, 0, Attributes::none), Error::Unaligned))
            << "virt of a removal is " << bytes << " bytes off";
        EXPECT_TRUE(fails_with(insert(some_page() + bytes, 0x5000, user_data), Error::Unaligned));
    }
    EXPECT_EQ(tables(), before);
    EXPECT_TRUE(all_is_as_wanted());
}

TEST_F(InsertMapping, RefusesWhatLiesOutside) {
    map(lower_half_end - page, some_frame(), user_data);
    map(0, some_frame(), user_data);
    for (const std::uint64_t virt : std::initializer_list<std::uint64_t>{
             lower_half_end, lower_half_end + page, 1ULL << 48, ~0ULL << 47, 0 - page,
             0xffff'ffff'8010'0000ULL, (1ULL << 52) + page, 1ULL << 63})
        for (const Attributes attr : {user_data, Attributes::none})
            EXPECT_TRUE(fails_with(insert(virt, 0x5000, attr), Error::OutOfRange))
                << "virt is " << hex(virt);
    for (const std::uint64_t phys :
         std::initializer_list<std::uint64_t>{physical_end, 1ULL << 62, 1ULL << 63, 0 - page})
        EXPECT_TRUE(fails_with(insert(0, phys, user_data), Error::OutOfRange))
            << "phys is " << hex(phys);
    EXPECT_EQ(tables(), 6U);
    EXPECT_TRUE(all_is_as_wanted());
}

TEST_F(InsertMapping, ReportsAMissingFrameWhicheverItIs) {
    const std::uint64_t base = inner_page();
    map(base, some_frame(), user_data);
    for (unsigned level = 1; level < steps.size(); ++level) {
        // A page so far away needs as many tables.
        for (unsigned good = 0; good < level; ++good) {
            const std::uint64_t at = base + (good + 1) * steps[level];
            kern::frames().fail_from(good + 1);
            EXPECT_TRUE(fails_with(insert(at, 0x5000, user_data), Error::OutOfMemory))
                << "frame " << good + 1 << " of " << level << " is missing";
            kern::frames().fail_from(0);
            EXPECT_TRUE(all_is_as_wanted())
                << "frame " << good + 1 << " of " << level << " was missing";
            map(at, some_frame(), user_code);
            EXPECT_TRUE(all_is_as_wanted()) << "the same page, when there are frames again";
        }
    }
}

}  // namespace
}  // namespace lab
