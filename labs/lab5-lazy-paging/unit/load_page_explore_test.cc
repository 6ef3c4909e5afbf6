// SPDX-License-Identifier: MIT
// Task lab5.load_page on several CPUs, in every order that matters (kern/arch/explore). The CPUs are
// simulated, one runs at a time, and each schedule begins with the same empty page.
#include <cstring>

#include "fixture.hh"
#include "vmm/tests/support/accounts.hh"
#include "vmm/tests/support/exploration.hh"

namespace lab {
namespace {

using kern::explore::broken;
using kern::explore::Exploration;
using kern::explore::step;

class LoadPageExplore : public PagerTest {
   protected:
    /// What is looked at when a CPU is back from load_page, and at the end.
    struct Looks {
        bool frames = false;   ///< one frame is in use for each page
        bool success = false;  ///< load_page says so
        bool kept = false;     ///< the page stays, and what the guest writes into it
        bool full = false;     ///< the guest finds all bytes
    };
    static constexpr Looks at_all{.frames = true, .success = true, .kept = true, .full = true};

    void SetUp() override {
        PagerTest::SetUp();
        make_pager();
        page_ = Gpa{random().page_between(0x100, 0x4000)};
        bytes_ = random().bytes(kern::page_size);
    }
    Gpa page() const { return page_; }
    /// The page at `gpa` is filled by fill(); the tables above it are there if `with_tables`.
    void add_page(Gpa gpa, bool with_tables) {
        ASSERT_TRUE(succeeds(pager().map_page(gpa, {.fill = fill, .context = this})));
        if (with_tables) {
            ASSERT_TRUE(pager().table().entry(gpa));
        }
        pages_.push_back(gpa);
    }
    /// An exploration in which CPUs 1 to `cpus` fault on the page and go on in the guest.
    Exploration faults(unsigned cpus, const Looks& looks) {
        Exploration all{"load_page.cc"};
        begin(all);
        for (unsigned cpu = 1; cpu <= cpus; ++cpu)
            all.cpu([this, cpu, looks] { fault(cpu, page_, looks); });
        all.at_end([this, cpus, looks] { look_at_the_end(cpus, looks); });
        return all;
    }
    void begin(Exploration& all) {
        tables_before_ = tables();
        all.keep(pager());
        all.keep(seen_);
        all.describe([this](const void* at) { return name_of(at); });
    }

    /// CPU `cpu` takes a fault on `gpa`, and its guest goes on.
    void fault(unsigned cpu, Gpa gpa, const Looks& looks) {
        const auto result = pager().load_page(gpa);
        auto& seen = seen_.cpus[cpu];
        seen.back = true;
        seen.success = result.has_value();
        if (!result) {
            if (looks.success)
                broken("load_page tells CPU " + std::to_string(cpu) + " the error \"" +
                       std::string{describe(result.error())} + "\"");
            return;
        }
        const auto found = walk(gpa);
        if (!found) {
            if (looks.success || looks.full)
                broken("load_page says success, and the page is absent");
            return;
        }
        seen.frame = found->hpa;
        std::byte* const frame = kern::arch::direct_map(kern::Hpa{found->hpa});
        // Others' guests write into the first bytes.
        if (looks.full) step("the guest reads " + frame_name(found->hpa));
        if (looks.full &&
            std::memcmp(frame + marks, bytes_.data() + marks, kern::page_size - marks) != 0)
            broken("the page is present, and not all of its bytes are there: the guest on CPU " +
                   std::to_string(cpu) + " reads something else");
        step("the guest writes into " + frame_name(found->hpa));
        frame[cpu] = mark(cpu);
    }

    void look_at_the_end(unsigned cpus, const Looks& looks) {
        if (looks.frames) {
            if (guest_frames() != pages_.size())
                broken(std::to_string(guest_frames()) + " frames of guest memory are in use for " +
                       std::to_string(pages_.size()) + " page(s)");
            const auto now = walk(page_);
            // On whose account it is, is another case's affair.
            if (now && !vmm::test::owner_of(kern::Hpa{now->hpa}))
                broken("the page is " + frame_name(now->hpa) + ", which was given back");
            for (unsigned cpu = 1; cpu <= cpus; ++cpu)
                if (seen_.cpus[cpu].fills > 1)
                    broken("CPU " + std::to_string(cpu) + " filled the page more than once");
        }
        for (unsigned cpu = 1; looks.kept && cpu <= cpus; ++cpu) {
            const auto& seen = seen_.cpus[cpu];
            if (seen.frame == 0) continue;
            const auto now = walk(page_);
            if (!now || now->hpa != seen.frame)
                broken("CPU " + std::to_string(cpu) + " went on in " + frame_name(seen.frame) +
                       ", and in the end the page is " +
                       (now ? frame_name(now->hpa) : std::string{"absent"}));
            else if (kern::arch::direct_map(kern::Hpa{now->hpa})[cpu] != mark(cpu))
                broken("what the guest on CPU " + std::to_string(cpu) +
                       " wrote into its page is gone");
        }
    }

    struct {
        struct {
            bool back = false, success = false;
            unsigned fills = 0;
            std::uint64_t frame = 0;
        } cpus[5];
    } seen_;
    unsigned failing_cpu_ = 0;  // on which fills fail
    std::function<void(Gpa)> while_filling_;

    std::uint64_t tables() const {
        return kern::frames().accounts()[vmm::frame_owner::second_level_table.index];
    }
    std::uint64_t new_tables() const { return tables() - tables_before_; }
    std::string name_of(const void* at) {
        const auto* const own = reinterpret_cast<const std::byte*>(&pager());
        const auto offset = static_cast<const std::byte*>(at) - own;
        if (offset >= 0 && static_cast<std::size_t>(offset) < sizeof pager())
            return "in the pager (byte " + std::to_string(offset) + ")";
        return name_in_memory(table_in_memory(), at);
    }

   private:
    static constexpr std::size_t marks = 8;
    static std::byte mark(unsigned cpu) { return static_cast<std::byte>(0xa0 + cpu); }

    static bool fill(void* self, Gpa gpa, std::span<std::byte, kern::page_size> frame) {
        auto& test = *static_cast<LoadPageExplore*>(self);
        const unsigned cpu = kern::arch::cpu_index();
        ++test.seen_.cpus[cpu].fills;
        // An answer may have a buffer of its own filled, and copy it.
        const kern::Hpa hpa =
            kern::arch::fake::arena_begin +
            static_cast<std::uint64_t>(frame.data() -
                                       kern::arch::direct_map(kern::arch::fake::arena_begin));
        const std::string where =
            kern::arch::fake::is_memory(hpa) ? frame_name(hpa.value()) : "a buffer";
        step("the loader fills one half of " + where);
        std::memcpy(frame.data(), test.bytes_.data(), frame.size() / 2);
        if (test.while_filling_) test.while_filling_(gpa);
        if (cpu == test.failing_cpu_) {
            step("the loader fails");
            return false;
        }
        step("the loader fills the other half of " + where);
        std::memcpy(frame.data() + frame.size() / 2, test.bytes_.data() + frame.size() / 2,
                    frame.size() / 2);
        return true;
    }

    Gpa page_;
    Bytes bytes_;
    std::vector<Gpa> pages_;
    std::uint64_t tables_before_ = 0;
};

TEST_F(LoadPageExplore, TheLateCpuGivesItsFrameBack) {
    add_page(page(), true);
    auto all = faults(2, {.frames = true});
    EXPECT_TRUE(holds(all));
}

TEST_F(LoadPageExplore, BothCpusSucceed) {
    add_page(page(), true);
    auto all = faults(2, {.success = true});
    EXPECT_TRUE(holds(all));
}

TEST_F(LoadPageExplore, WhatTheGuestHasWrittenIsNotLost) {
    add_page(page(), true);
    auto all = faults(2, {.success = true, .kept = true});
    EXPECT_TRUE(holds(all));
}

TEST_F(LoadPageExplore, ThePageIsFullWhenItIsThere) {
    add_page(page(), true);
    auto all = faults(2, {.success = true, .full = true});
    EXPECT_TRUE(holds(all));
}

TEST_F(LoadPageExplore, TwoCpusMakeTheTablesToo) {
    add_page(page(), false);
    auto all = faults(2, at_all);
    EXPECT_TRUE(holds(all));
}

TEST_F(LoadPageExplore, ThreeCpusOnOnePage) {
    add_page(page(), true);
    auto all = faults(3, at_all);
    EXPECT_TRUE(holds(all, 1));
}

TEST_F(LoadPageExplore, NeighboursDoNotDisturbEachOther) {
    add_page(page(), false);
    add_page(page() + kern::page_size, false);
    Exploration all{"load_page.cc"};
    begin(all);
    all.cpu([&] { fault(1, page(), at_all); });
    all.cpu([&] { fault(2, page() + kern::page_size, at_all); });
    all.at_end([&] {
        look_at_the_end(1, at_all);
        if (new_tables() != 3 && page().value() % (2 << 20) != (2 << 20) - kern::page_size)
            broken(std::to_string(new_tables()) + " tables were made where 3 are needed");
    });
    EXPECT_TRUE(holds(all));
}

TEST_F(LoadPageExplore, AnotherPageDoesNotWaitForAFill) {
    const Gpa other = page() + kern::page_size;
    add_page(page(), true);
    add_page(other, true);
    while_filling_ = [&](Gpa gpa) {
        if (gpa == page())
            kern::explore::wait_until("CPU 2 to get its own, another page",
                                      [&] { return seen_.cpus[2].back; });
    };
    Exploration all{"load_page.cc"};
    begin(all);
    all.cpu([&] { fault(1, page(), {}); });
    all.cpu([&] { fault(2, other, {}); });
    EXPECT_TRUE(holds(all));
}

TEST_F(LoadPageExplore, AnotherPageOfTheFileDoesNotWaitForARead) {
    const auto file = put_file(random().bytes(0x8000));
    add_loader(Loader::bytes_of(file, 0, page(), page() + 0x8000));
    const Gpa other = page() + 0x5000;
    disk().on_read([&](std::uint64_t, std::size_t) {
        if (kern::arch::cpu_index() == 1)
            kern::explore::wait_until("CPU 2 to get another page of the file",
                                      [&] { return seen_.cpus[2].back; });
    });
    Exploration all{"load_page.cc"};
    begin(all);
    all.keep(disk());
    all.cpu([&] { fault(1, page(), {}); });
    all.cpu([&] { fault(2, other, {}); });
    EXPECT_TRUE(holds(all));
}

TEST_F(LoadPageExplore, AFailedFillHoldsNobodyUp) {
    add_page(page(), true);
    failing_cpu_ = 1;
    auto all = faults(2, {.full = true});
    all.at_end([&] {
        const bool present = walk(page()).has_value();
        // A CPU that waited for the other one may report what happened to that one.
        if (present != (seen_.cpus[1].success || seen_.cpus[2].success))
            broken(present ? "the page is present, and no CPU was told so"
                           : "a CPU was told success, and the page is absent");
        if (guest_frames() != (present ? 1U : 0U))
            broken(std::to_string(guest_frames()) + " frames of guest memory are in use, and " +
                   (present ? "one page is present" : "no page is"));
        if (present && seen_.cpus[2].fills == 0)
            broken("no fill went well, and the page is present");
    });
    EXPECT_TRUE(holds(all));
}

TEST_F(LoadPageExplore, MemoryThatRunsOutLosesNothing) {
    add_page(page(), false);
    for (unsigned count = 1; count <= 6; ++count) {
        auto all = faults(2, {.full = true});
        all.at_end([&] {
            const bool present = walk(page()).has_value();
            if (guest_frames() != (present ? 1U : 0U))
                broken(std::to_string(guest_frames()) + " frames of guest memory are in use, and " +
                       (present ? "one page is present" : "no page is"));
            if (present != (seen_.cpus[1].success || seen_.cpus[2].success))
                broken(present ? "the page is present, and no CPU was told so"
                               : "a CPU was told success, and the page is absent");
        });
        kern::frames().fail_from(count);
        EXPECT_TRUE(holds(all, 1)) << "the allocation number " << count << " and all after it fail";
        kern::frames().fail_from(0);
    }
}

}  // namespace
}  // namespace lab
