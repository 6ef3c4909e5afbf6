// SPDX-License-Identifier: MIT
// Task lab5.load_page on several CPUs. The races are forced: a page's fill is held until the other
// CPU has faulted and can go no further.
#include "race.hh"

namespace lab {
namespace {

class LoadPageRace : public RaceTest {
   protected:
    /// CPU 1 fills `scripted` and is held until CPU 2 has faulted too. If CPU 2 fills as well, it
    /// is held until CPU 1 is back: it comes too late. `first_back` runs on CPU 1 when it is back.
    void run_first_wins(ScriptedPage& scripted, const std::function<void()>& first_back = [] {}) {
        scripted.script = [&](unsigned) {
            if (kern::arch::cpu_index() == 1)
                until_settled(2, second, scripted);
            else
                wait_until([&] { return first_is_done_.raised(); });
            return true;
        };
        ASSERT_TRUE(succeeds(pager().map_page(page(), scripted.loader())));
        on_cpus({[&] {
                     take(first, page());
                     first_back();
                     first_is_done_.raise();
                 },
                 [&] {
                     wait_until([&] { return scripted.fills() > 0; });
                     take(second, page());
                 }});
    }

    void expect_both_succeed() {
        EXPECT_TRUE(succeeds(first.result)) << "the CPU that faulted first";
        EXPECT_TRUE(succeeds(second.result)) << "the CPU that faulted second, on the same page";
    }
    void expect_one_frame() {
        frames_count();
        EXPECT_EQ(guest_frames(), 1U)
            << "frames of guest memory for one page that two CPUs faulted on";
    }

    Fault first, second;

   private:
    Signal first_is_done_;
};

TEST_F(LoadPageRace, TheLateCpuGivesItsFrameBack) {
    ScriptedPage scripted{random().bytes(kern::page_size)};
    run_first_wins(scripted);
    expect_one_frame();
    EXPECT_TRUE(same_bytes(guest_page(page()), scripted.bytes()));
}

TEST_F(LoadPageRace, BothCpusSucceed) {
    ScriptedPage scripted{random().bytes(kern::page_size)};
    run_first_wins(scripted);
    expect_both_succeed();
    EXPECT_TRUE(same_bytes(guest_page(page()), scripted.bytes()));
}

TEST_F(LoadPageRace, WhatTheGuestHasWrittenIsNotLost) {
    ScriptedPage scripted{random().bytes(kern::page_size)};
    const Bytes written = random().bytes(kern::page_size);
    std::optional<WalkedPage> published;
    run_first_wins(scripted, [&] {  // CPU 1 runs on in the guest while CPU 2 still loads
        published = walk(page());
        if (published) std::ranges::copy(written, guest_page(page()).begin());
    });
    expect_both_succeed();
    EXPECT_TRUE(published.has_value()) << "CPU 1 came back, and the page was not present";
    EXPECT_EQ(walk(page()), published) << "the page that CPU 1 got was replaced by another one";
    EXPECT_TRUE(same_bytes(guest_page(page()), written))
        << "what CPU 1 wrote into the page after its fault is gone";
}

TEST_F(LoadPageRace, TheCpuThatFaultedLastMayBeFirst) {
    ScriptedPage scripted{random().bytes(kern::page_size)};
    scripted.script = [&](unsigned) {
        if (kern::arch::cpu_index() != 1) return true;
        // Held until CPU 2 is back, or waits for this fill.
        const std::uint64_t before = kern::arch::fake::relaxes(2);
        until_settled(2, second, scripted);
        wait_until([&] { return second.returned.raised() || is_waiting(2, before); },
                   std::chrono::milliseconds{1500});
        return true;
    };
    ASSERT_TRUE(succeeds(pager().map_page(page(), scripted.loader())));
    std::optional<WalkedPage> published;
    on_cpus({[&] { take(first, page()); },
             [&] {
                 wait_until([&] { return scripted.fills() > 0; });
                 take(second, page());
                 published = walk(page());
             }});
    expect_both_succeed();
    EXPECT_TRUE(published.has_value()) << "CPU 2 came back, and the page was not present";
    EXPECT_EQ(walk(page()), published) << "the page that CPU 2 got was replaced by another one";
    EXPECT_TRUE(same_bytes(guest_page(page()), scripted.bytes()));
}

TEST_F(LoadPageRace, FourCpusOnOnePageGetOneFrame) {
    constexpr unsigned cpus = 4;
    std::array<Fault, cpus> faults;
    ScriptedPage scripted{random().bytes(kern::page_size)};
    scripted.script = [&](unsigned) {
        for (unsigned cpu = 1; cpu <= cpus; ++cpu)
            if (cpu != kern::arch::cpu_index()) until_settled(cpu, faults[cpu - 1], scripted);
        return true;
    };
    ASSERT_TRUE(succeeds(pager().map_page(page(), scripted.loader())));
    std::vector<std::function<void()>> work;
    for (auto& fault : faults) work.emplace_back([&] { take(fault, page()); });
    on_cpus(work);

    for (const auto& fault : faults) EXPECT_TRUE(succeeds(fault.result));
    frames_count();
    EXPECT_EQ(guest_frames(), 1U) << "frames of guest memory for one page that 4 CPUs faulted on";
    EXPECT_LE(scripted.fills(), cpus) << "fills of the page, for 4 CPUs";
    EXPECT_TRUE(same_bytes(guest_page(page()), scripted.bytes()));
}

TEST_F(LoadPageRace, AnotherPageDoesNotWaitForAFill) {
    ScriptedPage slow{random().bytes(kern::page_size)};
    bool came_back = false;
    std::atomic<std::uint64_t> asked_for{0};  // by CPU 2; orders nothing
    std::uint64_t stuck_at = 0;
    slow.script = [&](unsigned) {
        came_back = wait_until([&] { return second.returned.raised(); }, std::chrono::seconds{8});
        stuck_at = asked_for.load(std::memory_order_relaxed);
        return true;
    };
    ASSERT_TRUE(succeeds(pager().map_page(page(), slow.loader())));
    // Near and far: first neighbours, more than an answer has room to keep locks for, then some
    // with many address bits in common.
    constexpr std::uint64_t neighbours = 2053;
    std::vector<Gpa> others;
    for (std::uint64_t i = 1; i <= neighbours; ++i) others.push_back(page() + i * kern::page_size);
    for (const std::uint64_t apart : {4096, 3 * 4096 + 7, 512 * 512, 5 * 512 * 512 + 511})
        others.push_back(page() + apart * kern::page_size);
    add_loader(Loader::zeros(others.front(), others.back() + kern::page_size));
    on_cpus({[&] { take(first, page()); },
             [&] {
                 wait_until([&] { return slow.fills() > 0; });
                 for (const Gpa other : others) {
                     if (!second.result) break;
                     asked_for.store(other.value(), std::memory_order_relaxed);
                     second.result = pager().load_page(other);
                 }
                 second.returned.raise();
             }});
    EXPECT_TRUE(came_back) << "CPU 1 was filling page " << hex(page().value())
                           << ", and CPU 2 did not get page " << hex(stuck_at)
                           << " meanwhile: it waited for that fill";
    expect_both_succeed();
    EXPECT_TRUE(same_bytes(guest_page(page()), slow.bytes()));
}

TEST_F(LoadPageRace, AnotherPageOfTheFileDoesNotWaitForARead) {
    const auto file = put_file(random().bytes(0x8000));
    add_loader(Loader::bytes_of(file, 0, page(), page() + 0x8000));
    const Gpa other = page() + 0x5000;
    Signal held;
    bool came_back = false;
    disk().on_read([&](std::uint64_t, std::size_t) {
        if (kern::arch::cpu_index() != 1 || held.raised()) return;
        held.raise();
        came_back = wait_until([&] { return second.returned.raised(); });
    });
    on_cpus({[&] { take(first, page()); },
             [&] {
                 wait_until([&] { return held.raised(); });
                 take(second, other);
             }});
    EXPECT_TRUE(came_back) << "the disk was reading page " << hex(page().value())
                           << " for CPU 1, and CPU 2 did not get page " << hex(other.value())
                           << " meanwhile";
    expect_both_succeed();
    EXPECT_TRUE(same_bytes(guest_page(page()), std::span{contents()}.first(kern::page_size)));
    EXPECT_TRUE(
        same_bytes(guest_page(other), std::span{contents()}.subspan(0x5000, kern::page_size)));
}

TEST_F(LoadPageRace, AFailedFillHoldsNobodyUp) {
    ScriptedPage scripted{random().bytes(kern::page_size)};
    scripted.script = [&](unsigned number) {
        if (number == 1) until_settled(2, second, scripted);
        return number != 1;  // the first fill fails
    };
    ASSERT_TRUE(succeeds(pager().map_page(page(), scripted.loader())));
    on_cpus({[&] { take(first, page()); },
             [&] {
                 wait_until([&] { return scripted.fills() > 0; });
                 take(second, page());
             }});
    EXPECT_FALSE(first.result && scripted.fills() == 1)
        << "the only fill failed, and the CPU reports success";
    // CPU 2 may have loaded the page itself, or report what happened to CPU 1.
    EXPECT_EQ(walk(page()).has_value(), first.result || second.result)
        << "whether the page is present, and whether a CPU reports success";
    EXPECT_EQ(guest_frames(), walk(page()).has_value() ? 1U : 0U) << "frames of guest memory";
    EXPECT_TRUE(succeeds(pager().load_page(page()))) << "a later fault, with a loader that works";
    EXPECT_TRUE(same_bytes(guest_page(page()), scripted.bytes()));
}

TEST_F(LoadPageRace, FourCpusWalkThroughAllPages) {
    constexpr unsigned cpus = 4;
    constexpr std::uint64_t pages = 48;
    const auto file = put_file(random().bytes(pages * kern::page_size));
    add_loader(Loader::bytes_of(file, 0, page(), page() + pages * kern::page_size));
    std::array<unsigned, cpus> errors{};
    std::vector<std::function<void()>> work;
    for (unsigned cpu = 0; cpu < cpus; ++cpu)
        work.emplace_back([&, cpu, start = random().between(0, pages - 1)] {
            // Two upwards and two downwards, so that they meet.
            for (std::uint64_t i = 0; i < pages; ++i) {
                const std::uint64_t step =
                    (cpu % 2 == 0 ? start + i : start + 2 * pages - i) % pages;
                const Gpa gpa = page() + step * kern::page_size;
                if (!pager().load_page(gpa)) {
                    ++errors[cpu];
                    continue;
                }
                const auto found = walk(gpa);
                if (!found || *kern::arch::direct_map(kern::Hpa{found->hpa}) !=
                                  contents()[step * kern::page_size])
                    ++errors[cpu];
            }
        });
    on_cpus(work);

    for (const unsigned count : errors)
        EXPECT_EQ(count, 0U) << "faults of one CPU that failed, or left no page or a wrong one";
    EXPECT_EQ(guest_frames(), pages) << "frames of guest memory for as many pages";
    for (std::uint64_t i = 0; i < pages; ++i)
        EXPECT_TRUE(same_bytes(guest_page(page() + i * kern::page_size),
                               std::span{contents()}.subspan(i * kern::page_size, kern::page_size)))
            << "page " << i;
}

}  // namespace
}  // namespace lab
