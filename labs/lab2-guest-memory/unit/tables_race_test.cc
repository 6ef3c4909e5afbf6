// SPDX-License-Identifier: MIT
// Tasks lab2.ept_lookup_gpa and lab2.ept_map_hva2gpa on several CPUs. The races are forced: a CPU
// that has found an entry absent is held until another one has too.
#include <algorithm>
#include <array>

#include "tables.hh"

namespace lab {
namespace {

using vmm::read_write_execute;
using Walk = std::expected<vmm::WalkResult, Error>;

template <class Format>
class EptLookupGpaRace : public TableTest<Format> {};
TYPED_TEST_SUITE(EptLookupGpaRace, Formats, FormatNames);

TYPED_TEST(EptLookupGpaRace, TheLateCpuGivesItsTableBack) {
    // Every level in turn is the one where both find nothing.
    for (Level level = vmm::root_level; level > 1; --level) {
        const std::uint64_t gpa = random().page_between(0, 100) + level * (1ULL << 30);
        ASSERT_EQ(this->entry_at(gpa, level), 0U) << "the tables above are there, this one is not";
        const std::uint64_t before = this->tables();
        MeetingFormat<TypeParam> meeting{level, 2};
        std::array<Walk, 2> found{std::unexpected{Error::Busy}, std::unexpected{Error::Busy}};
        on_cpus(2, [&](unsigned cpu) {
            found[cpu - 1] = vmm::ept_lookup_gpa(meeting.format(), this->root(), Gpa{gpa}, 1,
                                                 MissingTable::Make);
        });
        for (const auto& one : found) ASSERT_TRUE(succeeds(one)) << "level " << level;
        EXPECT_TRUE(found[0]->entry == found[1]->entry)
            << "two CPUs walked to " << hex(gpa) << " and came to two entries: in level " << level
            << " one of them replaced the other's table";
        EXPECT_EQ(this->tables(), before + level - 1)
            << "tables below the root, after two CPUs made the same ones";
    }
}

TYPED_TEST(EptLookupGpaRace, NeighboursShareTheirTables) {
    const std::uint64_t gpa = random().between(1, 100) << 30 | random().between(1, 100) << 21;
    MeetingFormat<TypeParam> meeting{vmm::root_level, 2};
    on_cpus(2, [&](unsigned cpu) {
        const auto found = vmm::ept_lookup_gpa(meeting.format(), this->root(),
                                               Gpa{gpa + cpu * page}, 1, MissingTable::Make);
        ASSERT_TRUE(succeeds(found));
        std::atomic_ref{*found->entry}.store(cpu << 12 | TypeParam::page,
                                             std::memory_order_release);
    });
    for (std::uint64_t cpu = 1; cpu <= 2; ++cpu)
        EXPECT_EQ(hex(this->entry_at(gpa + cpu * page)), hex(cpu << 12 | TypeParam::page))
            << "what CPU " << cpu << " put into its entry is not in the tree";
    EXPECT_EQ(this->tables_in_tree(), 3U) << "tables below the root, for two neighbours";
    this->ignore_lost_frames();
}

TYPED_TEST(EptLookupGpaRace, FourCpusWalkEverywhere) {
    constexpr std::uint64_t places = 64;
    std::array<std::array<std::uint64_t*, places>, 4> entries{};
    on_cpus(4, [&](unsigned cpu) {
        for (std::uint64_t i = 0; i < places; ++i) {
            const std::uint64_t place = cpu % 2 == 0 ? i : places - 1 - i;
            const auto found =
                vmm::ept_lookup_gpa(TypeParam::format(), this->root(),
                                    Gpa{place * (large_page / 2)}, 1, MissingTable::Make);
            ASSERT_TRUE(succeeds(found));
            entries[cpu - 1][place] = found->entry;
        }
    });
    for (std::uint64_t place = 0; place < places; ++place)
        for (const auto& others : entries)
            ASSERT_TRUE(others[place] == entries[0][place])
                << "two CPUs came to different entries for the address "
                << hex(place * (large_page / 2));
    EXPECT_EQ(this->tables_in_tree(), 2 + places / 2) << "tables below the root";
    this->ignore_lost_frames();
}

template <class Format>
class EptMapHva2GpaRace : public TableTest<Format> {
   protected:
    std::expected<void, Error> map(const vmm::EntryFormat& format, Hpa frame, std::uint64_t gpa,
                                   Permission permission, bool overwrite) {
        return vmm::ept_map_hva2gpa(format, this->root(), this->hva(frame), Gpa{gpa}, permission,
                                    overwrite);
    }
};
TYPED_TEST_SUITE(EptMapHva2GpaRace, Formats, FormatNames);

TYPED_TEST(EptMapHva2GpaRace, OneOfTwoCpusMapsThePage) {
    const std::uint64_t gpa = random().page_between(0, 1 << 26);
    this->entry_at(gpa);  // the tables are there: this is about the page alone
    const std::array<Hpa, 2> frames{this->new_page(), this->new_page()};
    // Whether one CPU that finds a page refuses is another case's affair: here two find none.
    const std::uint64_t other = gpa ^ page;
    ASSERT_TRUE(
        succeeds(this->map(TypeParam::format(), frames[0], other, read_write_execute, false)));
    ASSERT_TRUE(this->has_page(other, this->wanted_page(frames[0])));
    if (this->map(TypeParam::format(), frames[1], other, read_write_execute, false)) return;
    MeetingFormat<TypeParam> meeting{1, 2};
    std::array<std::expected<void, Error>, 2> results;
    on_cpus(2, [&](unsigned cpu) {
        results[cpu - 1] =
            this->map(meeting.format(), frames[cpu - 1], gpa, read_write_execute, false);
    });
    ASSERT_NE(results[0].has_value(), results[1].has_value())
        << "of two CPUs that map one page without overwrite exactly one succeeds; here "
        << (results[0] ? "both do" : "none does");
    const unsigned winner = results[0] ? 0 : 1;
    EXPECT_TRUE(fails_with(results[1 - winner], Error::AlreadyExists));
    EXPECT_TRUE(this->has_page(gpa, this->wanted_page(frames[winner])))
        << "the page is not that of the CPU that was told of success";
}

TYPED_TEST(EptMapHva2GpaRace, BothOverwritesSucceed) {
    const std::uint64_t gpa = random().page_between(0, 1 << 26);
    this->entry_at(gpa);
    const std::array<Hpa, 2> frames{this->new_page(), this->new_page()};
    MeetingFormat<TypeParam> meeting{1, 2};
    on_cpus(2, [&](unsigned cpu) {
        EXPECT_TRUE(
            succeeds(this->map(meeting.format(), frames[cpu - 1], gpa, read_write_execute, true)));
    });
    const auto seen = this->walk(gpa);
    EXPECT_TRUE(seen == this->wanted_page(frames[0]) || seen == this->wanted_page(frames[1]))
        << this->in_words(seen);
}

TYPED_TEST(EptMapHva2GpaRace, OthersSeeTheOldPageOrTheNew) {
    const std::uint64_t gpa = random().page_between(0, 1 << 26);
    const std::array<Hpa, 2> frames{this->new_page(), this->new_page()};
    ASSERT_TRUE(succeeds(this->map(TypeParam::format(), frames[0], gpa, read_write_execute, true)));
    std::uint64_t& entry = this->entry_at(gpa);
    const std::array<std::uint64_t, 2> entries{
        frames[0].value() | TypeParam::leaf(read_write_execute),
        frames[1].value() | TypeParam::leaf(read_write_execute)};
    // Both go on until both have done so much.
    constexpr unsigned looks = 200, overwrites = 5'000;
    Signal looked, overwritten, wrong;
    const auto is_done = [&] {
        return wrong.raised() || (looked.count() >= looks && overwritten.count() >= overwrites);
    };
    on_cpus(2, [&](unsigned cpu) {
        for (unsigned i = 1; !is_done(); ++i) {
            if (cpu == 1) {
                const auto result =
                    this->map(TypeParam::format(), frames[i % 2], gpa, read_write_execute, true);
                EXPECT_TRUE(succeeds(result));
                if (!result) wrong.raise();
                overwritten.raise();
                continue;
            }
            for (unsigned look = 0; look < 100 && !wrong.raised(); ++look) {
                const auto value = std::atomic_ref{entry}.load(std::memory_order_acquire);
                if (std::ranges::find(entries, value) != entries.end()) continue;
                ADD_FAILURE() << "another CPU saw the entry " << hex(value) << "; wanted is "
                              << hex(entries[0]) << " or " << hex(entries[1]);
                wrong.raise();
            }
            looked.raise();
        }
    });
}

}  // namespace
}  // namespace lab
