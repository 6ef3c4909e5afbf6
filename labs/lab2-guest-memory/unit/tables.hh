// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <map>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "kern/arch/arch.hh"
#include "kern/arch/host/fake.hh"
#include "kern/mm/frame_allocator.hh"
#include "labs/unit_fixture.hh"
#include "labs/unit_threads.hh"
#include "vmm/frame_owners.hh"
#include "vmm/paging/walk.hh"
#include "vmm/tests/support/accounts.hh"
#include "vmm/tests/support/walker.hh"

/// Second-level tables of both vendors, made and read here by the bits of the manuals alone
/// [amd/vol2 15.25.5; intel/vol3c 29.3.2]: nothing comes from the code under test or from the entry
/// formats that it is given.
namespace lab {

using kern::Hpa;
using vmm::Gpa;
using vmm::Level;
using vmm::MissingTable;
using vmm::Permission;
using vmm::test::WalkedPage;
/// Pages by guest-physical address.
using WalkedPages = std::map<std::uint64_t, WalkedPage>;

///@{
/// The two vendors' formats: every case over tables runs with both.
struct Npt {
    static constexpr const char* name = "Npt";
    static constexpr bool is_ept = false;
    static constexpr std::uint64_t link =
        7;  ///< P, RW, US: what a table's entry adds to an address
    static constexpr std::uint64_t page = 7;  ///< the same of a page that may be used for anything
    static constexpr std::uint64_t noted = 0x60;                    ///< accessed and dirty
    static constexpr std::uint64_t absent = 0x0000'1234'5678'9f6e;  ///< P is 0, much else is not
    static const vmm::EntryFormat& format() { return vmm::npt_format; }
    /// A leaf of level 1 at address 0.
    static std::uint64_t leaf(Permission allowed) {
        return 5 | (allowed.write ? 2 : 0) | (allowed.execute ? 0 : 1ULL << 63);
    }
};
struct Ept {
    static constexpr const char* name = "Ept";
    static constexpr bool is_ept = true;
    static constexpr std::uint64_t link = 7;     ///< R, W, X
    static constexpr std::uint64_t page = 0x37;  ///< and the memory type write-back
    static constexpr std::uint64_t noted = 0x300;
    static constexpr std::uint64_t absent = 0x0012'3456'789a'bf78;  ///< R, W and X are 0
    static const vmm::EntryFormat& format() { return vmm::ept_format; }
    static std::uint64_t leaf(Permission allowed) {
        return 0x31 | (allowed.write ? 2 : 0) | (allowed.execute ? 4 : 0);
    }
};
///@}
using Formats = ::testing::Types<Npt, Ept>;
/// Names the typed suites: EptLookupGpa/Npt.
struct FormatNames {
    template <class Format>
    static std::string GetName(int) {  // NOLINT(readability-identifier-naming): GoogleTest calls it
        return Format::name;
    }
};

inline constexpr std::uint64_t page = 4096;
inline constexpr std::uint64_t large_page = 2 << 20;
inline constexpr std::uint64_t last_page = (1ULL << 40) - page;
inline constexpr std::uint64_t address_bits = 0x000f'ffff'ffff'f000;
/// Page size: the entry of level 2 or 3 is a page.
inline constexpr std::uint64_t large_bit = 0x80;

/// The index that the manuals give for a level, 4 (the root) to 1.
constexpr std::uint64_t index_in(std::uint64_t gpa, Level level) {
    return gpa >> (12 + 9 * (level - 1)) & 511;
}

inline std::uint64_t* entry_pointer(Hpa table, std::uint64_t index) {
    return reinterpret_cast<std::uint64_t*>(kern::arch::direct_map(table)) + index;
}

/// A fake machine of several CPUs, and in it an empty second-level table. At the end of each case
/// every frame must be in the tree or be the case's own; on which account is another case's affair.
template <class Format>
class TableTest : public ::testing::Test {
   protected:
    static constexpr unsigned cpus = 4;
    static constexpr std::size_t arena_bytes = 8 << 20;

    void SetUp() override {
        kern::arch::fake::reset({.arena_bytes = arena_bytes, .cpus = cpus + 1});
        before_ = kern::frames().accounts();
        root_ = new_table();
    }
    void TearDown() override {
        kern::frames().fail_from(0);
        free_tree(root_, vmm::root_level);
        for (const Hpa frame : pages_) kern::frames().free(vmm::frame_owner::guest_memory, frame);
        if (frames_count_) vmm::test::expect_same_accounts(before_);
    }
    /// A frame that was lost is not this case's affair.
    void ignore_lost_frames() { frames_count_ = false; }

    Hpa root() const { return root_; }
    /// How many frames are in use beside the root and the case's own: tables, in the tree or lost.
    std::uint64_t tables() const {
        std::uint64_t used = 0;
        for (const std::uint64_t before : before_) used += before;
        return kern::frames().in_use() - used - 1 - pages_.size();
    }
    /// How many tables there are in the tree beside the root.
    std::uint64_t tables_in_tree() const {
        return vmm::test::count_tables({.root = root_.value(), .is_ept = Format::is_ept}) - 1;
    }
    /// A frame with random bytes, which stays the case's.
    Hpa new_page() {
        const Hpa made = *kern::frames().allocate(vmm::frame_owner::guest_memory);
        std::ranges::copy(random().bytes(page), kern::arch::direct_map(made));
        pages_.push_back(made);
        return made;
    }
    std::uint64_t page_frames() const {
        const auto owner = vmm::frame_owner::guest_memory.index;
        return kern::frames().accounts()[owner] - before_[owner];
    }
    static kern::Hva hva(Hpa frame) {
        return kern::Hva{reinterpret_cast<std::uintptr_t>(kern::arch::direct_map(frame))};
    }

    ///@{
    /// Puts tables and entries into the tree, without the code under test.
    Hpa new_table() const { return *kern::frames().allocate(vmm::frame_owner::second_level_table); }
    /// The table of `level` on the way to `gpa`; made where it is missing.
    Hpa table_at(std::uint64_t gpa, Level level) const {
        Hpa table = root_;
        for (Level at = vmm::root_level; at > level; --at) {
            std::uint64_t& entry = *entry_pointer(table, index_in(gpa, at));
            if (entry == 0) entry = new_table().value() | Format::link;
            table = Hpa{entry & address_bits};
        }
        return table;
    }
    /// The entry of `gpa` in the table of `level`.
    std::uint64_t& entry_at(std::uint64_t gpa, Level level = 1) const {
        return *entry_pointer(table_at(gpa, level), index_in(gpa, level));
    }
    ///@}

    /// What the processor finds at `gpa`.
    std::optional<WalkedPage> walk(std::uint64_t gpa) const {
        return vmm::test::walk_in_memory({.root = root_.value(), .is_ept = Format::is_ept}, gpa);
    }
    /// All that the processor finds.
    WalkedPages all_pages() const {
        return vmm::test::all_pages({.root = root_.value(), .is_ept = Format::is_ept});
    }
    /// Entries of the tree that are not 0, in all its tables.
    std::uint64_t entries_in_use() const { return count_entries(root_, vmm::root_level); }

    static WalkedPage wanted_page(Hpa frame, Permission allowed = vmm::read_write_execute) {
        return {.hpa = frame.value(),
                .read = allowed.read,
                .write = allowed.write,
                .execute = allowed.execute,
                .bytes = page};
    }
    static std::string in_words(const std::optional<WalkedPage>& seen) {
        if (!seen) return "no page";
        return "frame " + hex(seen->hpa) + (seen->read ? ", readable" : ", not readable") +
               (seen->write ? ", writable" : ", read-only") +
               (seen->execute ? ", executable" : ", not executable");
    }
    /// Whether the processor finds this page at `gpa`.
    ::testing::AssertionResult has_page(std::uint64_t gpa, const WalkedPage& wanted) const {
        const auto seen = walk(gpa);
        if (seen == wanted) return ::testing::AssertionSuccess();
        return ::testing::AssertionFailure() << "at " << hex(gpa) << " is " << in_words(seen)
                                             << "; wanted is " << in_words(wanted);
    }

    static void free_tree(Hpa table, Level level) {
        for (std::uint64_t index = 0; index < 512; ++index) {
            const std::uint64_t entry = *entry_pointer(table, index);
            if (!is_table(entry, level)) continue;
            const Hpa next{entry & address_bits};
            if (kern::arch::fake::is_memory(next) && vmm::test::owner_of(next))
                free_tree(next, level - 1);
            else
                ADD_FAILURE() << "the entry " << hex(entry) << " of a table of level " << level
                              << " points to a frame that nobody has taken";
        }
        kern::frames().free(*vmm::test::owner_of(table), table);
    }

   private:
    static bool is_table(std::uint64_t entry, Level level) {
        return (entry & 7) != 0 && (Format::is_ept || (entry & 1) != 0) && level > 1 &&
               (level == vmm::root_level || (entry & large_bit) == 0);
    }
    static std::uint64_t count_entries(Hpa table, Level level) {
        std::uint64_t used = 0;
        for (std::uint64_t index = 0; index < 512; ++index) {
            const std::uint64_t entry = *entry_pointer(table, index);
            if (entry != 0) ++used;
            if (is_table(entry, level)) used += count_entries(Hpa{entry & address_bits}, level - 1);
        }
        return used;
    }

    kern::FrameAccounts before_{};
    Hpa root_;
    std::vector<Hpa> pages_;
    bool frames_count_ = true;
};

/// Forces a race: an entry format that tells nothing new, but holds whoever has seen an entry of
/// `level` absent until so many CPUs have, or wants to make an entry of that level. Nobody is held
/// for longer than a limit, so an answer that looks at entries in another way goes on. Its waiting
/// orders nothing, so that ThreadSanitizer sees the race.
template <class Format>
class MeetingFormat {
   public:
    MeetingFormat(Level level, unsigned cpus) {
        meeting_level = level;
        expected_cpus = cpus;
        arrived.store(0, std::memory_order_relaxed);
    }
    static const vmm::EntryFormat& format() {
        static const vmm::EntryFormat meeting{
            .name = Format::name,
            .leaf =
                [](Hpa frame, Permission permission, Level level) {
                    if (level == meeting_level) meet();
                    return Format::format().leaf(frame, permission, level);
                },
            .with_permission = Format::format().with_permission,
            .table =
                [](Hpa table) {
                    if (meeting_level > 1) meet();
                    return Format::format().table(table);
                },
            .decode =
                [](std::uint64_t entry, Level level) {
                    const auto decoded = Format::format().decode(entry, level);
                    if (level == meeting_level && !decoded.present) meet();
                    return decoded;
                }};
        return meeting;
    }

   private:
    static void meet() {
        thread_local bool has_met = false;  // the threads end with their race
        if (has_met) return;
        has_met = true;
        arrived.fetch_add(1, std::memory_order_relaxed);
        constexpr std::chrono::seconds limit{4};
        const auto end = std::chrono::steady_clock::now() + limit;
        while (arrived.load(std::memory_order_relaxed) < expected_cpus &&
               std::chrono::steady_clock::now() < end)
            std::this_thread::yield();
    }
    inline static Level meeting_level = 0;
    inline static unsigned expected_cpus = 0;
    inline static std::atomic<unsigned> arrived{0};
};

}  // namespace lab
