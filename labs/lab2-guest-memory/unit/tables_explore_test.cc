// SPDX-License-Identifier: MIT
// Tasks lab2.ept_lookup_gpa and lab2.ept_map_hva2gpa on several CPUs, in every order that matters
// (kern/arch/explore). The CPUs are simulated, one runs at a time, and each schedule begins with the
// same tables.
#include <algorithm>
#include <array>

#include "tables.hh"
#include "vmm/tests/support/exploration.hh"

namespace lab {
namespace {

using kern::explore::broken;
using kern::explore::Exploration;
using vmm::read_write_execute;
using vmm::test::holds;
using Walk = std::expected<vmm::WalkResult, Error>;

std::string text(Error error) {
    return "\"" + std::string{describe(error)} + "\"";
}

/// Explores tables of one format.
template <class Format>
class ExploredTables : public TableTest<Format> {
   protected:
    Exploration exploration(const std::string& task_file) {
        Exploration all{task_file};
        all.describe([this](const void* at) {
            return vmm::test::name_in_memory(
                {.root = this->root().value(), .is_ept = Format::is_ept}, at);
        });
        return all;
    }
    Walk walk_to(std::uint64_t gpa, MissingTable missing = MissingTable::Make) {
        return vmm::ept_lookup_gpa(Format::format(), this->root(), Gpa{gpa}, 1, missing);
    }
    std::expected<void, Error> map(Hpa frame, std::uint64_t gpa, Permission permission,
                                   bool overwrite) {
        return vmm::ept_map_hva2gpa(Format::format(), this->root(), this->hva(frame), Gpa{gpa},
                                    permission, overwrite);
    }
    /// Tables below the root that a walk from the root comes to.
    std::uint64_t tables_in_tree() const {
        std::uint64_t count = 0;
        count_tables(this->root(), vmm::root_level, count);
        return count;
    }
    /// At the end: each table that is in use is in the tree, and they are so many.
    void look_at_tables(std::uint64_t wanted) const {
        if (this->tables() != tables_in_tree())
            broken(std::to_string(this->tables()) + " tables below the root are in use, and " +
                   std::to_string(tables_in_tree()) + " are in the tree");
        else if (this->tables() != wanted)
            broken(std::to_string(this->tables()) + " tables below the root, where " +
                   std::to_string(wanted) + " are needed");
    }

    /// Whether one CPU alone may put a page in the place of another without `overwrite`.
    bool replaces_without_asking() {
        const std::uint64_t gpa = 1ULL << 32;
        return this->map(this->new_page(), gpa, read_write_execute, false).has_value() &&
               this->map(this->new_page(), gpa, read_write_execute, false).has_value();
    }

   private:
    static void count_tables(Hpa table, Level level, std::uint64_t& count) {
        if (level == 1) return;
        for (std::uint64_t index = 0; index < 512; ++index) {
            const auto entry = vmm::test::entry_at(table.value(), index, Format::is_ept);
            if (!entry.present() || (level < vmm::root_level && entry.large())) continue;
            ++count;
            count_tables(Hpa{entry.address()}, level - 1, count);
        }
    }
};

template <class Format>
class EptLookupGpaExplore : public ExploredTables<Format> {};
TYPED_TEST_SUITE(EptLookupGpaExplore, Formats, FormatNames);

TYPED_TEST(EptLookupGpaExplore, TheLateCpuGivesItsTableBack) {
    const std::uint64_t gpa = random().page_between(0, 1 << 26);
    // Every level in turn is the one where both find nothing; the last time all are missing.
    for (Level level = 2; level <= vmm::root_level; ++level) {
        const std::uint64_t at =
            gpa + (level == vmm::root_level ? 1ULL << 39 : level * (1ULL << 30));
        this->entry_at(at, level);
        const std::uint64_t before = this->tables();
        std::array<const void*, 3> found{};
        auto all = this->exploration("ept_lookup_gpa.cc");
        for (unsigned cpu = 1; cpu <= 2; ++cpu)
            all.cpu([&, cpu] {
                const Walk walk = this->walk_to(at);
                if (!walk) broken("CPU " + std::to_string(cpu) + " is told " + text(walk.error()));
                if (walk->level != 1)
                    broken("CPU " + std::to_string(cpu) + " is told level " +
                           std::to_string(walk->level) + ", wanted is 1");
                found[cpu] = walk->entry;
            });
        all.at_end([&] {
            if (found[1] != found[2])
                broken("two CPUs walked to one address and came to two entries");
            this->look_at_tables(before + level - 1);
        });
        ASSERT_TRUE(holds(all)) << "tables are missing from level " << level - 1 << " on";
    }
}

TYPED_TEST(EptLookupGpaExplore, NeighboursShareTheirTables) {
    const std::uint64_t gpa = random().page_between(0, 1 << 16) & ~(large_page - 1);
    auto all = this->exploration("ept_lookup_gpa.cc");
    for (std::uint64_t cpu = 1; cpu <= 3; ++cpu)
        all.cpu([&, cpu] {
            const Walk walk = this->walk_to(gpa + cpu * page);
            if (!walk) broken("CPU " + std::to_string(cpu) + " is told " + text(walk.error()));
            if (walk->value != 0) broken("the new table is not empty");
            kern::explore::step("stores its page");
            std::atomic_ref{*walk->entry}.store(cpu << 12 | TypeParam::page);
        });
    all.at_end([&] {
        for (std::uint64_t cpu = 1; cpu <= 3; ++cpu) {
            const auto seen = this->walk(gpa + cpu * page);
            if (!seen || seen->hpa != cpu << 12)
                broken("what CPU " + std::to_string(cpu) +
                       " put into its entry is not in the tree");
        }
    });
    EXPECT_TRUE(holds(all, 1));
}

TYPED_TEST(EptLookupGpaExplore, WhoOnlyLooksSeesNoHalfMadeTable) {
    const std::uint64_t gpa = random().page_between(0, 1 << 26);
    auto all = this->exploration("ept_lookup_gpa.cc");
    all.cpu([&] {
        if (const Walk walk = this->walk_to(gpa); !walk)
            broken("CPU 1 is told " + text(walk.error()));
    });
    all.cpu([&] {
        const Walk walk = this->walk_to(gpa, MissingTable::Stop);
        if (!walk) broken("CPU 2 is told " + text(walk.error()));
        if (walk->value != 0)
            broken("CPU 2 only looks, and finds " + hex(walk->value) + " in level " +
                   std::to_string(walk->level) + ", where no entry was present yet");
    });
    all.at_end([&] { this->look_at_tables(3); });
    EXPECT_TRUE(holds(all));
}

TYPED_TEST(EptLookupGpaExplore, MemoryThatRunsOutLosesNoTable) {
    const std::uint64_t gpa = random().page_between(0, 1 << 26);
    for (unsigned count = 1; count <= 5; ++count) {
        auto all = this->exploration("ept_lookup_gpa.cc");
        for (unsigned cpu = 1; cpu <= 2; ++cpu)
            all.cpu([&] {
                const Walk walk = this->walk_to(gpa);
                if (!walk && walk.error() != Error::OutOfMemory)
                    broken("there is no frame left, and the walk says " + text(walk.error()));
            });
        all.at_end([&] { this->look_at_tables(this->tables_in_tree()); });
        kern::frames().fail_from(count);
        EXPECT_TRUE(holds(all, 1)) << "the allocation number " << count << " and all after it fail";
        kern::frames().fail_from(0);
    }
}

template <class Format>
class EptMapHva2GpaExplore : public ExploredTables<Format> {};
TYPED_TEST_SUITE(EptMapHva2GpaExplore, Formats, FormatNames);

TYPED_TEST(EptMapHva2GpaExplore, OneOfTwoCpusMapsThePage) {
    if (this->replaces_without_asking()) return;  // another case's affair: here two find nothing
    for (const bool with_tables : {true, false}) {
        const std::uint64_t gpa =
            random().page_between(0, 1 << 26) + (with_tables ? 0 : 1ULL << 39);
        if (with_tables) this->entry_at(gpa);
        const std::array<Hpa, 3> frames{this->new_page(), this->new_page(), this->new_page()};
        std::array<std::expected<void, Error>, 3> results;
        auto all = this->exploration("ept_map_hva2gpa.cc");
        for (unsigned cpu = 1; cpu <= 2; ++cpu)
            all.cpu([&, cpu] {
                results[cpu] = this->map(frames[cpu], gpa, read_write_execute, false);
            });
        all.at_end([&] {
            if (results[1].has_value() == results[2].has_value()) {
                broken(results[1] ? "two CPUs mapped one page, and both are told of success"
                                  : "two CPUs mapped one page, and none is told of success");
                return;
            }
            const unsigned winner = results[1] ? 1 : 2;
            const Error late = results[3 - winner].error();
            if (late != Error::AlreadyExists)
                broken("the CPU that came late is told " + text(late) + ", and not " +
                       text(Error::AlreadyExists));
            if (this->walk(gpa) != this->wanted_page(frames[winner]))
                broken("CPU " + std::to_string(winner) + " is told of success, and the page is " +
                       this->in_words(this->walk(gpa)));
        });
        EXPECT_TRUE(holds(all));
    }
}

TYPED_TEST(EptMapHva2GpaExplore, AnOverwriteIsNotLost) {
    if (this->replaces_without_asking()) return;  // another case's affair
    const std::uint64_t gpa = random().page_between(0, 1 << 26);
    this->entry_at(gpa);
    const std::array<Hpa, 3> frames{this->new_page(), this->new_page(), this->new_page()};
    auto all = this->exploration("ept_map_hva2gpa.cc");
    all.cpu([&] {
        const auto result = this->map(frames[1], gpa, read_write_execute, false);
        if (!result && result.error() != Error::AlreadyExists)
            broken("CPU 1 is told " + text(result.error()));
    });
    all.cpu([&] {
        const auto result = this->map(frames[2], gpa, read_write_execute, true);
        if (!result) broken("CPU 2 overwrites, and is told " + text(result.error()));
    });
    all.at_end([&] {
        // Whoever was first: the page of the CPU that may overwrite stands.
        if (this->walk(gpa) != this->wanted_page(frames[2]))
            broken("CPU 2 overwrote the page, CPU 1 may not, and the page is that of CPU 1: " +
                   this->in_words(this->walk(gpa)));
    });
    EXPECT_TRUE(holds(all));
}

TYPED_TEST(EptMapHva2GpaExplore, BothOverwritesSucceed) {
    const std::uint64_t gpa = random().page_between(0, 1 << 26);
    this->entry_at(gpa);
    const std::array<Hpa, 3> frames{this->new_page(), this->new_page(), this->new_page()};
    auto all = this->exploration("ept_map_hva2gpa.cc");
    for (unsigned cpu = 1; cpu <= 2; ++cpu)
        all.cpu([&, cpu] {
            const auto result = this->map(frames[cpu], gpa, read_write_execute, true);
            if (!result)
                broken("CPU " + std::to_string(cpu) + " overwrites, and is told " +
                       text(result.error()));
        });
    all.at_end([&] {
        const auto seen = this->walk(gpa);
        if (seen != this->wanted_page(frames[1]) && seen != this->wanted_page(frames[2]))
            broken("two CPUs overwrote the page, and now it is that of neither: " +
                   this->in_words(seen));
    });
    EXPECT_TRUE(holds(all));
}

TYPED_TEST(EptMapHva2GpaExplore, OthersSeeTheOldPageOrTheNew) {
    const std::uint64_t gpa = random().page_between(0, 1 << 26);
    const std::array<Hpa, 2> frames{this->new_page(), this->new_page()};
    const std::uint64_t old_entry = frames[0].value() | TypeParam::leaf(read_write_execute);
    const std::uint64_t new_entry = frames[1].value() | TypeParam::leaf(read_write_execute);
    this->entry_at(gpa) = old_entry;
    auto all = this->exploration("ept_map_hva2gpa.cc");
    all.cpu([&] {
        if (const auto result = this->map(frames[1], gpa, read_write_execute, true); !result)
            broken("CPU 1 overwrites, and is told " + text(result.error()));
    });
    all.cpu([&] {
        for (int look = 0; look < 2; ++look) {
            kern::explore::step("the processor walks to the page");
            const auto entry = std::atomic_ref{this->entry_at(gpa)}.load();
            if (entry != old_entry && entry != new_entry)
                broken("another CPU sees the entry " + hex(entry) + "; wanted is " +
                       hex(old_entry) + " or " + hex(new_entry));
        }
    });
    EXPECT_TRUE(holds(all));
}

}  // namespace
}  // namespace lab
