// SPDX-License-Identifier: MIT
// Task lab4.walk_guest while another vCPU changes the tables, in every order that matters
// (kern/arch/explore). The CPUs are simulated, one runs at a time.
#include <array>
#include <atomic>

#include "kern/arch/host/fake.hh"
#include "kern/mm/frame_allocator.hh"
#include "labs/unit_fixture.hh"
#include "vmm/exits/walk_guest.hh"
#include "vmm/frame_owners.hh"
#include "vmm/tests/support/exploration.hh"

namespace lab {
namespace {

using kern::explore::broken;
using kern::explore::Exploration;
using vmm::Gpa;
using vmm::GuestAccess;
using vmm::GuestMemory;
using vmm::Gva;
using vmm::test::holds;
using Found = std::expected<Gpa, vmm::WalkFault>;

constexpr std::uint64_t page = 4096;
constexpr std::uint64_t present = 1, all = 7, accessed = 0x20, dirty = 0x40;
constexpr GuestMemory::GuestPaging four_levels{
    .cr0 = 0x8001'0001, .cr3 = 0x1000, .cr4 = 0x20, .efer = 0x500};
constexpr unsigned levels = 4;
constexpr std::uint64_t index_in[levels + 1] = {0, 0x12, 0x34, 0x56, 0x78};  ///< by level
constexpr std::uint64_t gva =
    index_in[4] << 39 | index_in[3] << 30 | index_in[2] << 21 | index_in[1] << 12;
/// They differ in the entry's upper half alone.
constexpr std::uint64_t old_page = 0x4321'0000, new_page = 0x1'4321'0000;

/// A guest's memory that has its tables, level 4 at 0x1000 to level 1 at 0x4000.
class Memory final : public GuestMemory {
   public:
    Memory() {
        for (kern::Hpa& frame : frames_)
            frame = *kern::frames().allocate(vmm::frame_owner::guest_memory);
    }
    kern::Hpa table_root() const override { return {}; }
    std::expected<void, Error> serve_fault(const vmm::exit::NestedPageFault&) override {
        return std::unexpected{Error::Unsupported};
    }
    std::expected<kern::Hpa, Error> gpa2hpa(Gpa gpa) const override {
        if (gpa.value() / page >= frames_.size()) return std::unexpected{Error::NotFound};
        return frames_[gpa.value() / page] + gpa.page_offset();
    }
    bool is_writable(Gpa gpa) const override { return gpa2hpa(gpa).has_value(); }
    void set_shootdown(Shootdown, void*) override {}

    /// The entry of `level` that the walk of `gva` uses.
    std::atomic_ref<std::uint64_t> entry(unsigned level) const {
        const auto place = frames_[levels + 1 - level] + 8 * index_in[level];
        return std::atomic_ref{*reinterpret_cast<std::uint64_t*>(kern::arch::direct_map(place))};
    }
    /// Names it, for the story.
    std::string name_of(const void* at) const {
        for (unsigned level = 1; level <= levels; ++level)
            if (kern::arch::direct_map(frames_[levels + 1 - level] + 8 * index_in[level]) == at)
                return "the entry of level " + std::to_string(level);
        return {};
    }

   private:
    std::array<kern::Hpa, levels + 1> frames_{};
};

class WalkGuestExplore : public ::testing::Test {
   protected:
    void SetUp() override {
        kern::arch::fake::reset();
        memory_ = std::make_unique<Memory>();
        for (unsigned level = levels; level > 1; --level)
            memory_->entry(level).store((levels + 2 - level) * page | all);
        memory_->entry(1).store(old_page | all);
    }
    Exploration exploration() {
        Exploration all_orders{"walk_guest.cc"};
        all_orders.describe([this](const void* at) { return memory_->name_of(at); });
        return all_orders;
    }
    Found walk(const GuestAccess& access) const {
        return walk_guest(*memory_, four_levels, Gva{gva}, access);
    }
    std::atomic_ref<std::uint64_t> entry(unsigned level) const { return memory_->entry(level); }
    const Memory& memory() const { return *memory_; }

   private:
    std::unique_ptr<Memory> memory_;
};

TEST_F(WalkGuestExplore, TwoVcpusMarkOneEntry) {
    auto orders = exploration();
    for (const bool writes : {true, false})
        orders.cpu([this, writes] {
            const Found found = walk({.write = writes});
            if (!found || *found != Gpa{old_page}) broken("the walk did not come to the page");
        });
    orders.at_end([this] {
        for (unsigned level = 1; level <= levels; ++level)
            if ((entry(level).load() & accessed) == 0)
                broken("the entry of level " + std::to_string(level) + " is not accessed");
        if ((entry(1).load() & dirty) == 0)
            broken("one vCPU wrote to the page, and it is not dirty");
    });
    EXPECT_TRUE(holds(orders)) << "CPU 1 walks for a write, CPU 2 for a read";
}

TEST_F(WalkGuestExplore, TheOtherVcpuTakesAnEntryAway) {
    for (unsigned level = 1; level <= levels; ++level) {
        SetUp();
        auto orders = exploration();
        bool came = false;
        std::uint64_t taken = 0;
        orders.cpu([&] { came = walk({.write = true}).has_value(); });
        orders.cpu([&] { taken = entry(level).exchange(0); });
        orders.at_end([&] {
            if (entry(level).load() != 0)
                broken("the entry was taken away, and is there again: " + hex(entry(level).load()));
            const std::uint64_t marks = level == 1 ? accessed | dirty : accessed;
            if (came && (taken & marks) != marks)
                broken("the walk came to the page, and who took the entry found " + hex(taken) +
                       ": without the marks of the walk");
        });
        EXPECT_TRUE(holds(orders)) << "the entry of level " << level << " is taken away";
    }
}

TEST_F(WalkGuestExplore, TheOtherVcpuMovesThePage) {
    auto orders = exploration();
    std::uint64_t came_to = 0, before = 0;
    bool has_come = false;
    orders.cpu([&] {
        const Found found = walk({.write = true});
        has_come = found.has_value();
        came_to = found ? found->value() : 0;
    });
    orders.cpu([&] { before = entry(1).exchange(new_page | all); });
    orders.at_end([&] {
        const std::uint64_t now = entry(1).load();
        if ((now & ~(accessed | dirty)) != (new_page | all))
            broken("the entry is " + hex(now) + ", which nobody wrote");
        if (!has_come) return broken("the walk came to no page, and both may be written");
        if (came_to != old_page && came_to != new_page)
            broken("the walk came to " + hex(came_to) + ", where no page is");
        const std::uint64_t seen = came_to == old_page ? before : now;
        if ((seen & dirty) == 0)
            broken("the walk came to " + hex(came_to) + ", whose entry " + hex(seen) +
                   " is not dirty");
    });
    EXPECT_TRUE(holds(orders)) << "the page moves during a walk for a write";
}

TEST_F(WalkGuestExplore, TheOtherVcpuMovesAPageOfTwoLevels) {
    constexpr GuestMemory::GuestPaging two_levels{.cr0 = 0x8001'0001, .cr3 = 0x1000};
    constexpr std::uint32_t moved = 0x5432'0000;
    const auto entry32 = [this](std::uint64_t table) {
        std::byte* const at = kern::arch::direct_map(*memory().gpa2hpa(Gpa{table}));
        return std::atomic_ref{*reinterpret_cast<std::uint32_t*>(at)};
    };
    entry32(0x1000).store(0x2000 | all);
    entry32(0x2000).store(old_page | all);
    auto orders = exploration();
    std::uint64_t came_to = 0, before = 0;
    orders.cpu([&] {
        const Found found = walk_guest(memory(), two_levels, Gva{0}, GuestAccess{.write = true});
        came_to = found ? found->value() : 0;
    });
    orders.cpu([&] {
        before = entry32(0x2000).exchange(moved | all);
        if (!walk_guest(memory(), two_levels, Gva{0}, GuestAccess{}))
            broken("the walk of CPU 2 came to no page");
    });
    orders.at_end([&] {
        const std::uint64_t now = entry32(0x2000).load();
        if ((now & ~(accessed | dirty)) != (moved | all))
            broken("the entry is " + hex(now) + ", which nobody wrote");
        if (came_to != old_page && came_to != moved)
            broken("the walk came to " + hex(came_to) + ", where no page is");
        if (((came_to == old_page ? before : now) & dirty) == 0)
            broken("the walk came to " + hex(came_to) + ", whose entry is not dirty");
    });
    EXPECT_TRUE(holds(orders)) << "CPU 1 walks for a write; CPU 2 moves the page, and walks";
}

}  // namespace
}  // namespace lab
