// SPDX-License-Identifier: MIT
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <optional>
#include <string>

#include "fixture.hh"
#include "kern/arch/arch.hh"
#include "kern/arch/host/fake.hh"
#include "kern/mm/frame_allocator.hh"

/// Reads page tables as the processor would, from the bytes in memory and from the manual alone
/// [amd/vol2 5.3, 5.4]: nothing here comes from kern/mm/ptab.hh, so a mistake there is seen here.
namespace lab {

/// A page as the processor finds it. Its rights are those that all levels grant.
struct WalkedPage {
    std::uint64_t frame = 0;
    bool write = true, user = true, execute = true;
    std::uint64_t entry = 0;  ///< the last level's, bit by bit

    bool operator==(const WalkedPage&) const = default;
};

inline std::string in_words(const WalkedPage& page) {
    return "frame " + hex(page.frame) + (page.user ? ", user" : ", kernel only") +
           (page.write ? ", writable" : ", read-only") +
           (page.execute ? ", executable" : ", not executable") + ", entry " + hex(page.entry);
}

/// All pages of the lower half, by address.
using WalkedPages = std::map<std::uint64_t, WalkedPage>;

namespace walker {
constexpr std::uint64_t frame_mask = 0x000f'ffff'ffff'f000;
constexpr std::uint64_t p = 1, rw = 2, us = 4, ps = 0x80, nx = 1ULL << 63;

inline std::uint64_t& entry_at(std::uint64_t table, std::uint64_t index) {
    return reinterpret_cast<std::uint64_t*>(kern::arch::direct_map(kern::Hpa{table}))[index];
}

inline void collect(std::uint64_t table, unsigned shift, std::uint64_t base,
                    const WalkedPage& above, std::uint64_t count, WalkedPages& into) {
    for (std::uint64_t index = 0; index < count; ++index) {
        const std::uint64_t entry = entry_at(table, index);
        if ((entry & p) == 0) continue;
        WalkedPage page = above;
        page.write = page.write && (entry & rw) != 0;
        page.user = page.user && (entry & us) != 0;
        page.execute = page.execute && (entry & nx) == 0;
        const std::uint64_t address = base + (index << shift);
        if (shift == 12) {
            page.frame = entry & frame_mask;
            page.entry = entry;
            into.emplace(address, page);
        } else if ((entry & ps) != 0) {
            ADD_FAILURE() << "the entry " << hex(entry) << " for " << hex(address)
                          << " has bit 7, page size: it maps a large page";
        } else if (!kern::frames().is_owned_by(kern::frame_owner::page_table,
                                               kern::Hpa{entry & frame_mask})) {
            ADD_FAILURE() << "the entry " << hex(entry) << " for " << hex(address)
                          << " points to a frame that is on no page table's account";
        } else {
            collect(entry & frame_mask, shift - 9, address, page, 512, into);
        }
    }
}
}  // namespace walker

/// What the processor finds in the lower half below `root`.
inline WalkedPages walk(kern::Hpa root) {
    WalkedPages pages;
    walker::collect(root.value(), 39, 0, {}, 256, pages);
    return pages;
}

/// Whether two sets of pages are the same; says the first difference.
inline ::testing::AssertionResult same_pages(const WalkedPages& seen, const WalkedPages& wanted) {
    for (const auto& [address, page] : wanted) {
        const auto found = seen.find(address);
        if (found == seen.end())
            return ::testing::AssertionFailure()
                   << "no page at " << hex(address) << ", wanted is " << in_words(page) << " ("
                   << seen.size() << " pages are there, wanted are " << wanted.size() << ")";
        if (found->second != page)
            return ::testing::AssertionFailure()
                   << "at " << hex(address) << " is " << in_words(found->second) << "; wanted is "
                   << in_words(page);
    }
    for (const auto& [address, page] : seen)
        if (!wanted.contains(address))
            return ::testing::AssertionFailure()
                   << "at " << hex(address) << " is " << in_words(page) << "; wanted is no page";
    return ::testing::AssertionSuccess();
}

/// Whether two sets of pages are at the same addresses, in the same frames, whatever their rights.
inline ::testing::AssertionResult same_places(const WalkedPages& seen, const WalkedPages& wanted) {
    const auto places = [](const WalkedPages& pages) {
        WalkedPages only;
        for (const auto& [address, page] : pages) only[address].frame = page.frame;
        return only;
    };
    const WalkedPages here = places(seen), there = places(wanted);
    for (const auto& [address, page] : there) {
        const auto found = here.find(address);
        if (found == here.end())
            return ::testing::AssertionFailure()
                   << "no page at " << hex(address) << ", wanted is the frame " << hex(page.frame)
                   << " (" << here.size() << " pages are there, wanted are " << there.size() << ")";
        if (found->second.frame != page.frame)
            return ::testing::AssertionFailure()
                   << "at " << hex(address) << " is the frame " << hex(found->second.frame)
                   << "; wanted is " << hex(page.frame);
    }
    for (const auto& [address, page] : here)
        if (!there.contains(address))
            return ::testing::AssertionFailure() << "at " << hex(address) << " is the frame "
                                                 << hex(page.frame) << "; wanted is no page";
    return ::testing::AssertionSuccess();
}

/// A fake machine, whose frames must all be back at the end of each case.
class MachineTest : public ::testing::Test {
   protected:
    void SetUp() override {
        kern::arch::fake::reset(4 << 20);
        before_ = kern::frames().accounts();
    }
    void TearDown() override {
        kern::frames().fail_from(0);
        clear();
        const auto after = kern::frames().accounts();
        for (const auto& owner : {kern::frame_owner::page_table, kern::frame_owner::user_page})
            EXPECT_EQ(after[owner.index], before_[owner.index])
                << "frames on the account \"" << owner.name << "\" at the end and at the start";
        EXPECT_EQ(after, before_) << "frames in use, by owner, at the end and at the start";
    }
    /// Destroys what the case made.
    virtual void clear() = 0;
    /// Frames taken from this account since the case began.
    std::uint64_t taken(kern::FrameOwner owner) const {
        return kern::frames().accounts()[owner.index] - before_[owner.index];
    }

   private:
    kern::FrameAccounts before_{};
};

}  // namespace lab
