// SPDX-License-Identifier: MIT
// Task lab4.walk_guest: page tables that the case writes by the manual's bits.
#include "vmm/exits/walk_guest.hh"

#include <atomic>
#include <bit>
#include <cstring>
#include <functional>
#include <set>
#include <utility>

#include "kern/arch/host/fake.hh"
#include "kern/mm/frame_allocator.hh"
#include "labs/unit_fixture.hh"
#include "vmm/frame_owners.hh"

namespace lab {
namespace {

using vmm::Gpa;
using vmm::GuestAccess;
using vmm::GuestMemory;
using vmm::Gva;
using vmm::WalkFault;
using Kind = vmm::WalkFault::Kind;
using Paging = GuestMemory::GuestPaging;

constexpr std::uint64_t page = 4096;
constexpr std::uint64_t mib2 = 2 << 20;
constexpr std::uint64_t mib4 = 4 << 20;
constexpr std::uint64_t gib = 1 << 30;

///@{
/// Bits of an entry.
constexpr std::uint64_t p = 1, rw = 2, us = 4, a = 0x20, d = 0x40, ps = 0x80;
constexpr std::uint64_t nx = 1ULL << 63;
constexpr std::uint64_t all = p | rw | us;
///@}
///@{
/// Bits of control registers.
constexpr std::uint64_t pg = 0x8000'0001, wp = 0x1'0000;
constexpr std::uint64_t pse = 0x10, pae = 0x20, la57 = 0x1000, smep = 0x10'0000, smap = 0x20'0000;
constexpr std::uint64_t lma = 0x500, nxe = 0x800;
/// Of CR4 and EFER, bits that say nothing of paging: VME, PVI, TSD, DE, MCE, OSFXSR and more; SCE,
/// SVME and FFXSR.
constexpr std::uint64_t other_cr4 = 0x74f, other_efer = 0x5001;
///@}
constexpr Paging four_levels{.cr0 = pg | wp, .cr3 = 0x1000, .cr4 = pae, .efer = lma | nxe};
constexpr Paging three_levels{.cr0 = pg | wp, .cr3 = 0x1020, .cr4 = pae, .efer = nxe};
constexpr Paging two_levels{.cr0 = pg | wp, .cr3 = 0x1000, .cr4 = pse, .efer = 0};

constexpr GuestAccess read{};
constexpr GuestAccess write{.write = true};
constexpr GuestAccess fetch{.fetch = true};
constexpr GuestAccess user_read{.user = true};
constexpr GuestAccess user_write{.write = true, .user = true};
constexpr GuestAccess user_fetch{.fetch = true, .user = true};

///@{
/// Bits of an error code.
constexpr std::uint32_t err_p = 1, err_w = 2, err_u = 4, err_r = 8, err_f = 16;
///@}

/// A guest's memory of 64 pages from 0 on, in frames of no order, without a few.
class Memory final : public GuestMemory {
   public:
    static constexpr std::uint64_t pages = 64;
    static constexpr std::uint64_t high = 0x3'0000'0000;  ///< the pages are there, too
    Memory() {
        for (std::uint64_t i = 0; i < pages; ++i)
            frames_[i * 29 % pages] = *kern::frames().allocate(vmm::frame_owner::guest_memory);
    }
    kern::Hpa table_root() const override { return {}; }
    std::expected<void, Error> serve_fault(const vmm::exit::NestedPageFault&) override {
        ADD_FAILURE() << "walk_guest makes nothing present";
        return std::unexpected{Error::Unsupported};
    }
    std::expected<kern::Hpa, Error> gpa2hpa(Gpa gpa) const override {
        const std::uint64_t low = gpa.value() >= high ? gpa.value() - high : gpa.value();
        if (low / page >= pages || missing.contains(low / page))
            return std::unexpected{Error::NotFound};
        if (on_look) on_look(gpa);
        return frames_[low / page] + gpa.page_offset();
    }
    bool is_writable(Gpa gpa) const override { return gpa.value() / page < pages; }
    void set_shootdown(Shootdown, void*) override {}

    std::set<std::uint64_t> missing;   ///< pages
    std::function<void(Gpa)> on_look;  ///< runs when an address is asked for

   private:
    std::array<kern::Hpa, pages> frames_;
};

class WalkGuest : public ::testing::Test {
   protected:
    void SetUp() override {
        kern::arch::fake::reset();
        memory_ = std::make_unique<Memory>();
    }
    Memory& memory() { return *memory_; }

    ///@{
    /// Entry number `index` of the table at `table`.
    void put(std::uint64_t table, std::uint64_t index, std::uint64_t value) {
        std::memcpy(bytes(table + 8 * index), &value, 8);
    }
    void put32(std::uint64_t table, std::uint64_t index, std::uint64_t value) {
        std::memcpy(bytes(table + 4 * index), &value, 4);
    }
    std::uint64_t entry(std::uint64_t table, std::uint64_t index) {
        std::uint64_t value = 0;
        std::memcpy(&value, bytes(table + 8 * index), 8);
        return value;
    }
    std::uint64_t entry32(std::uint64_t table, std::uint64_t index) {
        std::uint32_t value = 0;
        std::memcpy(&value, bytes(table + 4 * index), 4);
        return value;
    }
    ///@}

    /// Four levels in pages 1 to 4, with these bits at each level; the page is at 0x1234'5000.
    /// The address that leads there has another index at each level.
    static constexpr std::uint64_t gva4 = 0x0000'7f12'3456'7abc;
    static constexpr std::uint64_t i4 = gva4 >> 39 & 511, i3 = gva4 >> 30 & 511,
                                   i2 = gva4 >> 21 & 511, i1 = gva4 >> 12 & 511;
    void four(std::uint64_t l4, std::uint64_t l3, std::uint64_t l2, std::uint64_t l1) {
        put(0x1000, i4, 0x2000 | l4);
        put(0x2000, i3, 0x3000 | l3);
        put(0x3000, i2, 0x4000 | l2);
        put(0x4000, i1, 0x1234'5000 | l1);
    }
    /// Two levels, in pages 1 and 2.
    static constexpr std::uint64_t gva2 = 0xb123'4def;
    void two(std::uint64_t l2, std::uint64_t l1) {
        put32(0x1000, gva2 >> 22, 0x2000 | l2);
        put32(0x2000, gva2 >> 12 & 1023, 0x1234'5000 | l1);
    }
    /// Three levels: the pointers at 0x1020, tables in pages 2 and 3.
    static constexpr std::uint64_t gva3 = 0xb123'4def;
    void three(std::uint64_t l3, std::uint64_t l2, std::uint64_t l1) {
        put(0x1020, gva3 >> 30, 0x2000 | l3);
        put(0x2000, gva3 >> 21 & 511, 0x3000 | l2);
        put(0x3000, gva3 >> 12 & 511, 0x1234'5000 | l1);
    }

    std::expected<Gpa, WalkFault> walk(const Paging& paging, std::uint64_t gva,
                                       std::optional<GuestAccess> access = read) {
        return walk_guest(memory(), paging, Gva{gva}, access);
    }

   private:
    std::byte* bytes(std::uint64_t gpa) {
        return kern::arch::direct_map(*memory_->gpa2hpa(Gpa{gpa}));
    }
    std::unique_ptr<Memory> memory_;
};

std::string in_words(const std::expected<Gpa, WalkFault>& result) {
    if (result) return "the address " + hex(result->value());
    switch (result.error().kind) {
        case Kind::PageFault:
            return "a page fault with error code " + hex(result.error().error_code);
        case Kind::NotCanonical: return "\"not canonical\"";
        case Kind::NotInMemory: return "\"not in memory\", " + hex(result.error().table.value());
        case Kind::Unsupported: return "\"unsupported\"";
        case Kind::Busy: return "\"busy\"";
    }
    return "?";
}
::testing::AssertionResult leads_to(const std::expected<Gpa, WalkFault>& seen,
                                    std::uint64_t wanted) {
    if (seen && seen->value() == wanted) return ::testing::AssertionSuccess();
    return ::testing::AssertionFailure()
           << "the walk gives " << in_words(seen) << ", wanted is the address " << hex(wanted);
}
::testing::AssertionResult faults(const std::expected<Gpa, WalkFault>& seen, std::uint32_t code) {
    if (!seen && seen.error().kind == Kind::PageFault && seen.error().error_code == code)
        return ::testing::AssertionSuccess();
    return ::testing::AssertionFailure()
           << "the walk gives " << in_words(seen) << ", wanted is a page fault with error code "
           << hex(code);
}
::testing::AssertionResult ends_with(const std::expected<Gpa, WalkFault>& seen, Kind kind) {
    if (!seen && seen.error().kind == kind) return ::testing::AssertionSuccess();
    return ::testing::AssertionFailure() << "the walk gives " << in_words(seen) << ", wanted is "
                                         << in_words(std::unexpected{WalkFault{.kind = kind}});
}

TEST_F(WalkGuest, GoesDownFourLevels) {
    four(all, all, all, all);
    EXPECT_TRUE(leads_to(walk(four_levels, gva4), 0x1234'5abc));
}

TEST_F(WalkGuest, GoesDownTwoLevels) {
    two(all, all);
    EXPECT_TRUE(leads_to(walk(two_levels, gva2), 0x1234'5def));
}

TEST_F(WalkGuest, GoesDownThreeLevels) {
    three(p, all, all);
    EXPECT_TRUE(leads_to(walk(three_levels, gva3), 0x1234'5def));
}

TEST_F(WalkGuest, WithoutPagingTheAddressIsTheGuestsPhysicalOne) {
    EXPECT_TRUE(leads_to(walk({.cr0 = 1, .cr3 = 0x1000}, 0xfee0'0123), 0xfee0'0123));
    EXPECT_TRUE(leads_to(walk({.cr0 = 1, .cr3 = 0x1000}, 0xfee0'0123, user_write), 0xfee0'0123));
}

TEST_F(WalkGuest, TheUpperHalfIsCanonical) {
    put(0x1000, 511, 0x2000 | all);
    put(0x2000, 510, 0x3000 | all);
    put(0x3000, 0, 0x4000 | all);
    put(0x4000, 1, 0x7000 | all);
    EXPECT_TRUE(leads_to(walk(four_levels, 0xffff'ffff'8000'1008), 0x7008));
}

TEST_F(WalkGuest, IgnoresBitsOfCr3AndOfEntriesThatAreNoAddress) {
    constexpr std::uint64_t software = 0x7ff0'0000'0000'0e00;
    four(all | software, all | software, all | software, all | software | 0x118);
    Paging paging = four_levels;
    paging.cr3 |= 0x18 | 1ULL << 63;
    EXPECT_TRUE(leads_to(walk(paging, gva4), 0x1234'5abc));
    two(all | 0xe00, all | 0xe00);
    paging = two_levels;
    paging.cr3 |= 0xfff;
    EXPECT_TRUE(leads_to(walk(paging, gva2), 0x1234'5def));
    paging.cr4 = 0;
    EXPECT_TRUE(leads_to(walk(paging, gva2), 0x1234'5def)) << "without PSE";
    three(p, all, all);
    paging = three_levels;
    paging.cr3 |= 0x1f;
    EXPECT_TRUE(leads_to(walk(paging, gva3), 0x1234'5def));
    four(all, all, all, all);
    paging = four_levels;
    paging.cr3 |= 0xfff;
    EXPECT_TRUE(leads_to(walk(paging, gva4), 0x1234'5abc));
}

TEST_F(WalkGuest, TheRootMayLieAbove4GiB) {
    four(all, all, all, all);
    Paging paging = four_levels;
    paging.cr3 += Memory::high;
    memory().missing = {};
    bool high = false;
    memory().on_look = [&](Gpa gpa) { high |= gpa.value() == Memory::high + 0x1000 + 8 * i4; };
    EXPECT_TRUE(leads_to(walk(paging, gva4), 0x1234'5abc));
    EXPECT_TRUE(high) << "the entry of level 4 was looked for elsewhere";
}

TEST_F(WalkGuest, OtherBitsOfCr4AndEferSayNothing) {
    const auto with_others = [](Paging paging) {
        paging.cr4 |= other_cr4;
        paging.efer |= other_efer;
        return paging;
    };
    Paging paging = with_others(two_levels);
    paging.cr4 = (paging.cr4 & ~pse) | la57;
    two(all, all);
    put32(0x1000, gva2 >> 22, 0x2000 | all | ps);
    EXPECT_TRUE(leads_to(walk(paging, gva2), 0x1234'5def)) << "two levels, without PSE";
    EXPECT_TRUE(leads_to(walk({.cr0 = 1, .cr4 = la57, .efer = other_efer}, 0x123), 0x123))
        << "no paging";
    three(p, all, all);
    paging = with_others(three_levels);
    paging.cr4 |= la57;
    EXPECT_TRUE(leads_to(walk(paging, gva3), 0x1234'5def)) << "three levels";
    four(all, all, all, all);
    paging = with_others(four_levels);
    for (const GuestAccess access : {read, write, fetch, user_read})
        EXPECT_TRUE(leads_to(walk(paging, gva4, access), 0x1234'5abc)) << "four levels";
    paging.efer &= ~nxe;
    four(all, all, all, 0);
    EXPECT_TRUE(faults(walk(paging, gva4, fetch), 0)) << "neither NXE nor SMEP";
    four(all, all, all, all | nx);
    EXPECT_TRUE(faults(walk(paging, gva4, read), err_p | err_r)) << "NX without NXE";
}

TEST_F(WalkGuest, KnowsLargePagesOfFourLevels) {
    four(all, all, all, all);
    put(0x3000, i2, 15 * mib2 | all | ps | 0x1000);
    EXPECT_TRUE(leads_to(walk(four_levels, gva4), 15 * mib2 + gva4 % mib2)) << "2 MiB";
    // The next page: its address has a 0 where the entry's bit 12, which is no part of an address, is 1.
    const std::uint64_t next = gva4 ^ 0x1000;
    EXPECT_TRUE(leads_to(walk(four_levels, next), 15 * mib2 + next % mib2)) << "bit 12 of 2 MiB";
    put(0x2000, i3, 5 * gib | all | ps | 0x1000);
    EXPECT_TRUE(leads_to(walk(four_levels, gva4), 5 * gib + gva4 % gib)) << "1 GiB";
    EXPECT_TRUE(leads_to(walk(four_levels, next), 5 * gib + next % gib)) << "bit 12 of 1 GiB";
    put(0x2000, i3, 5 * gib | all | ps | 0x7ff0'0000'0000'0e00);
    EXPECT_TRUE(leads_to(walk(four_levels, gva4), 5 * gib + gva4 % gib))
        << "bits of software in the entry of 1 GiB";
}

TEST_F(WalkGuest, KnowsLargePagesOfThreeLevels) {
    three(p, all, all);
    put(0x2000, gva3 >> 21 & 511, 15 * mib2 | all | ps);
    EXPECT_TRUE(leads_to(walk(three_levels, gva3), 15 * mib2 + gva3 % mib2)) << "2 MiB";
}

TEST_F(WalkGuest, KnowsLargePagesOfTwoLevels) {
    two(all, all);
    put32(0x1000, gva2 >> 22, 7 * mib4 | all | ps);
    EXPECT_TRUE(leads_to(walk(two_levels, gva2), 7 * mib4 + gva2 % mib4)) << "4 MiB";
    put32(0x1000, gva2 >> 22, 7 * mib4 | 0x25 << 13 | all | ps);
    EXPECT_TRUE(leads_to(walk(two_levels, gva2), 0x25'0000'0000 + 7 * mib4 + gva2 % mib4))
        << "4 MiB beyond 4 GiB";
    put32(0x1000, gva2 >> 22, 0x2000 | all | ps);
    Paging paging = two_levels;
    paging.cr4 = 0;
    EXPECT_TRUE(leads_to(walk(paging, gva2), 0x1234'5def)) << "without CR4.PSE a table";
    two(all, all | ps);
    EXPECT_TRUE(leads_to(walk(two_levels, gva2), 0x1234'5def)) << "in level 1, bit 7 is PAT";
}

TEST_F(WalkGuest, AnAddressOfNoKindIsNotCanonical) {
    four(all, all, all, all);
    for (const std::uint64_t gva :
         {0x0000'8000'0000'0000ULL, 0xffff'7fff'ffff'ffffULL, gva4 | 1ULL << 63})
        EXPECT_TRUE(ends_with(walk(four_levels, gva), Kind::NotCanonical)) << hex(gva);
    two(all, all);
    EXPECT_TRUE(ends_with(walk(two_levels, gva2 | 1ULL << 32), Kind::NotCanonical));
    EXPECT_TRUE(ends_with(walk({.cr0 = 1}, 1ULL << 32), Kind::NotCanonical)) << "no paging";
    EXPECT_TRUE(leads_to(walk({.cr0 = 1}, 0xffff'ffff), 0xffff'ffff)) << "the last address";
    Paging paging = four_levels;
    paging.cr4 |= la57;
    EXPECT_TRUE(ends_with(walk(paging, gva4), Kind::Unsupported)) << "5 levels";
    EXPECT_TRUE(ends_with(walk(paging, 1ULL << 50), Kind::Unsupported))
        << "5 levels, which have more addresses";
}

TEST_F(WalkGuest, AnEntryThatIsNotPresentIsAPageFault) {
    for (unsigned level = 1; level <= 4; ++level) {
        const auto bits = [level](unsigned at) { return level == at ? all & ~p : all; };
        four(bits(4), bits(3), bits(2), bits(1));
        EXPECT_TRUE(faults(walk(four_levels, gva4, read), 0)) << "level " << level;
        EXPECT_TRUE(faults(walk(four_levels, gva4, user_write), err_w | err_u))
            << "level " << level << ", a write at CPL 3";
    }
    two(all, 0);
    EXPECT_TRUE(faults(walk(two_levels, gva2, write), err_w)) << "two levels";
    three(0, all, all);
    EXPECT_TRUE(faults(walk(three_levels, gva3, read), 0)) << "three levels, a pointer";
}

TEST_F(WalkGuest, AWriteNeedsTheRightOfAllLevels) {
    for (unsigned level = 1; level <= 4; ++level) {
        const auto bits = [level](unsigned at) { return level == at ? all & ~rw : all; };
        four(bits(4), bits(3), bits(2), bits(1));
        EXPECT_TRUE(faults(walk(four_levels, gva4, user_write), err_p | err_w | err_u))
            << "level " << level << " is read-only, CPL 3";
        EXPECT_TRUE(faults(walk(four_levels, gva4, write), err_p | err_w))
            << "level " << level << " is read-only, CPL 0, CR0.WP";
        EXPECT_TRUE(leads_to(walk(four_levels, gva4, user_read), 0x1234'5abc))
            << "a read of a read-only page";
    }
    four(all, all, all, all);
    EXPECT_TRUE(leads_to(walk(four_levels, gva4, user_write), 0x1234'5abc))
        << "no level is read-only any more";
}

TEST_F(WalkGuest, WithoutWriteProtectTheKernelWritesEverywhere) {
    four(all, all, all, all & ~rw);
    Paging paging = four_levels;
    paging.cr0 = pg;
    EXPECT_TRUE(leads_to(walk(paging, gva4, write), 0x1234'5abc)) << "CPL 0, CR0.WP = 0";
    EXPECT_TRUE(faults(walk(paging, gva4, user_write), err_p | err_w | err_u))
        << "CPL 3, CR0.WP = 0";
}

TEST_F(WalkGuest, CplThreeNeedsTheRightOfAllLevels) {
    for (unsigned level = 1; level <= 4; ++level) {
        const auto bits = [level](unsigned at) { return level == at ? all & ~us : all; };
        four(bits(4), bits(3), bits(2), bits(1));
        EXPECT_TRUE(faults(walk(four_levels, gva4, user_read), err_p | err_u))
            << "level " << level << " is the kernel's";
        EXPECT_TRUE(faults(walk(four_levels, gva4, user_fetch), err_p | err_u | err_f))
            << "level " << level << " is the kernel's, a fetch";
        EXPECT_TRUE(leads_to(walk(four_levels, gva4, read), 0x1234'5abc)) << "CPL 0";
    }
    two(p | rw, all);
    EXPECT_TRUE(faults(walk(two_levels, gva2, user_read), err_p | err_u)) << "two levels";
}

TEST_F(WalkGuest, NoLevelMayForbidExecution) {
    for (unsigned level = 1; level <= 4; ++level) {
        const auto bits = [level](unsigned at) { return level == at ? all | nx : all; };
        four(bits(4), bits(3), bits(2), bits(1));
        EXPECT_TRUE(faults(walk(four_levels, gva4, user_fetch), err_p | err_u | err_f))
            << "level " << level << " has NX";
        EXPECT_TRUE(leads_to(walk(four_levels, gva4, user_write), 0x1234'5abc))
            << "a write to a page that may not be executed";
    }
    four(all, all, all, all);
    put(0x3000, i2, 15 * mib2 | all | ps | nx);
    EXPECT_TRUE(leads_to(walk(four_levels, gva4), 15 * mib2 + gva4 % mib2))
        << "NX is no part of the address of 2 MiB";
    three(p, all, all | nx);
    EXPECT_TRUE(faults(walk(three_levels, gva3, fetch), err_p | err_f)) << "three levels";
}

TEST_F(WalkGuest, ThePointersOfThreeLevelsHaveNoRights) {
    three(p, all, all);
    EXPECT_TRUE(leads_to(walk(three_levels, gva3, user_write), 0x1234'5def));
    three(p | ps, all, all);
    EXPECT_TRUE(leads_to(walk(three_levels, gva3, read), 0x1234'5def)) << "bit 7 of a pointer";
}

TEST_F(WalkGuest, WithSmepTheKernelFetchesFromNoUserPage) {
    four(all, all, all, all);
    Paging paging = four_levels;
    paging.cr4 |= smep;
    EXPECT_TRUE(faults(walk(paging, gva4, fetch), err_p | err_f)) << "CPL 0, SMEP";
    EXPECT_TRUE(leads_to(walk(paging, gva4, user_fetch), 0x1234'5abc)) << "CPL 3, SMEP";
    EXPECT_TRUE(leads_to(walk(paging, gva4, read), 0x1234'5abc)) << "SMEP forbids no read";
    four(all & ~us, all, all, all);
    EXPECT_TRUE(leads_to(walk(paging, gva4, fetch), 0x1234'5abc)) << "a page of the kernel";
}

TEST_F(WalkGuest, WithSmapTheKernelTouchesNoUserPage) {
    four(all, all, all, all);
    Paging paging = four_levels;
    paging.cr4 |= smap;
    EXPECT_TRUE(faults(walk(paging, gva4, read), err_p)) << "CPL 0, SMAP";
    EXPECT_TRUE(faults(walk(paging, gva4, write), err_p | err_w)) << "CPL 0, SMAP";
    EXPECT_TRUE(leads_to(walk(paging, gva4, GuestAccess{.write = true, .alignment_check = true}),
                         0x1234'5abc))
        << "SMAP and RFLAGS.AC";
    EXPECT_TRUE(leads_to(walk(paging, gva4, user_read), 0x1234'5abc)) << "CPL 3, SMAP";
    EXPECT_TRUE(leads_to(walk(paging, gva4, fetch), 0x1234'5abc)) << "SMAP forbids no fetch";
    four(all, all, all, all | nx);
    EXPECT_TRUE(faults(walk(paging, gva4, read), err_p)) << "SMAP, a page that has NX";
    four(all, all, all, all & ~us);
    EXPECT_TRUE(leads_to(walk(paging, gva4, write), 0x1234'5abc)) << "a page of the kernel";
}

TEST_F(WalkGuest, TellsAFetchOnlyWhereThereIsNxOrSmep) {
    four(all, all, all, 0);
    EXPECT_TRUE(faults(walk(four_levels, gva4, fetch), err_f)) << "NXE";
    Paging paging = four_levels;
    paging.efer = lma;
    EXPECT_TRUE(faults(walk(paging, gva4, fetch), 0)) << "neither NXE nor SMEP";
    paging.cr4 |= smep;
    EXPECT_TRUE(faults(walk(paging, gva4, fetch), err_f)) << "SMEP";
    two(all, 0);
    paging = two_levels;
    paging.efer = nxe;
    EXPECT_TRUE(faults(walk(paging, gva2, fetch), 0)) << "NXE with two levels, which have no NX";
}

TEST_F(WalkGuest, AReservedBitIsAPageFault) {
    constexpr std::uint64_t beyond = 1ULL << 41;
    for (unsigned level = 1; level <= 4; ++level) {
        const auto bits = [level](unsigned at) { return level == at ? all | beyond : all; };
        four(bits(4), bits(3), bits(2), bits(1));
        EXPECT_TRUE(faults(walk(four_levels, gva4, user_read), err_p | err_u | err_r))
            << "address bit 41 in level " << level;
    }
    four(all | ps, all, all, all);
    EXPECT_TRUE(faults(walk(four_levels, gva4, read), err_p | err_r)) << "PS in level 4";
    put(0x1000, i4, all | ps);
    EXPECT_TRUE(faults(walk(four_levels, gva4, read), err_p | err_r)) << "PS in level 4, address 0";
    four(all, all, all | nx, all);
    Paging paging = four_levels;
    paging.efer = lma;
    EXPECT_TRUE(faults(walk(paging, gva4, read), err_p | err_r)) << "NX without NXE";
}

TEST_F(WalkGuest, ALargePageIsAligned) {
    four(all, all, all, all);
    put(0x3000, i2, 15 * mib2 | all | ps | 0x2000);
    EXPECT_TRUE(faults(walk(four_levels, gva4, read), err_p | err_r)) << "address bit 13 of 2 MiB";
    put(0x3000, i2, 15 * mib2 | all | ps | 1 << 20);
    EXPECT_TRUE(faults(walk(four_levels, gva4, read), err_p | err_r)) << "address bit 20 of 2 MiB";
    put(0x2000, i3, 5 * gib | all | ps | 1 << 29);
    EXPECT_TRUE(faults(walk(four_levels, gva4, read), err_p | err_r)) << "address bit 29 of 1 GiB";
}

TEST_F(WalkGuest, SetsAccessedInEachEntry) {
    four(all, all, all, all);
    ASSERT_TRUE(leads_to(walk(four_levels, gva4), 0x1234'5abc));
    EXPECT_EQ(entry(0x1000, i4), 0x2000 | all | a) << "level 4";
    EXPECT_EQ(entry(0x2000, i3), 0x3000 | all | a) << "level 3";
    EXPECT_EQ(entry(0x3000, i2), 0x4000 | all | a) << "level 2";
    EXPECT_EQ(entry(0x4000, i1), 0x1234'5000 | all | a) << "level 1";
    two(all, all);
    ASSERT_TRUE(leads_to(walk(two_levels, gva2), 0x1234'5def));
    EXPECT_EQ(entry32(0x1000, gva2 >> 22), 0x2000 | all | a) << "two levels";
    EXPECT_EQ(entry32(0x2000, gva2 >> 12 & 1023), 0x1234'5000 | all | a) << "two levels";
}

TEST_F(WalkGuest, TheNeighbourOfA4ByteEntryIsNotTouched) {
    two(all, all);
    put32(0x2000, (gva2 >> 12 & 1023) + 1, 0xffff'ffff);
    put32(0x2000, (gva2 >> 12 & 1023) - 1, 0xffff'ffff);
    ASSERT_TRUE(leads_to(walk(two_levels, gva2, write), 0x1234'5def));
    EXPECT_EQ(entry32(0x2000, (gva2 >> 12 & 1023) + 1), 0xffff'ffff);
    EXPECT_EQ(entry32(0x2000, (gva2 >> 12 & 1023) - 1), 0xffff'ffff);
}

TEST_F(WalkGuest, SetsDirtyInTheLastEntryAtAWrite) {
    four(all, all, all, all);
    ASSERT_TRUE(leads_to(walk(four_levels, gva4, write), 0x1234'5abc));
    EXPECT_EQ(entry(0x3000, i2), 0x4000 | all | a) << "level 2 has no dirty bit here";
    EXPECT_EQ(entry(0x4000, i1), 0x1234'5000 | all | a | d) << "level 1";
    put(0x3000, i2, 15 * mib2 | all | ps);
    ASSERT_TRUE(leads_to(walk(four_levels, gva4, write), 15 * mib2 + gva4 % mib2));
    EXPECT_EQ(entry(0x3000, i2), 15 * mib2 | all | ps | a | d) << "a large page";
}

TEST_F(WalkGuest, APointerOfThreeLevelsHasNoAccessedBit) {
    three(p, all, all);
    ASSERT_TRUE(leads_to(walk(three_levels, gva3, write), 0x1234'5def));
    EXPECT_EQ(entry(0x1020, gva3 >> 30), 0x2000 | p);
    EXPECT_EQ(entry(0x2000, gva3 >> 21 & 511), 0x3000 | all | a);
    EXPECT_EQ(entry(0x3000, gva3 >> 12 & 511), 0x1234'5000 | all | a | d);
}

TEST_F(WalkGuest, AWriteThatIsRefusedSetsNoDirtyBit) {
    four(all, all, all, all & ~rw);
    EXPECT_TRUE(faults(walk(four_levels, gva4, write), err_p | err_w));
    EXPECT_EQ(entry(0x4000, i1) & d, 0U);
    four(all & ~us, all, all, all);
    EXPECT_TRUE(faults(walk(four_levels, gva4, user_write), err_p | err_w | err_u));
    EXPECT_EQ(entry(0x4000, i1) & d, 0U);
}

TEST_F(WalkGuest, LookingChangesNothing) {
    four(p, p, p | nx, p);
    EXPECT_TRUE(leads_to(walk(four_levels, gva4, std::nullopt), 0x1234'5abc));
    EXPECT_EQ(entry(0x4000, i1), 0x1234'5000 | p);
    EXPECT_EQ(entry(0x1000, i4), 0x2000 | p);
    four(all, all, all, 0);
    EXPECT_TRUE(faults(walk(four_levels, gva4, std::nullopt), 0)) << "not present";
    four(all, all, all, all | 1ULL << 41);
    EXPECT_TRUE(leads_to(walk(four_levels, gva4, std::nullopt), 0x200'1234'5abc))
        << "it looks at no reserved bit";
}

TEST_F(WalkGuest, ATableThatIsNotInMemoryIsSaid) {
    four(all, all, all, all);
    memory().missing = {3};
    const auto seen = walk(four_levels, gva4);
    ASSERT_TRUE(ends_with(seen, Kind::NotInMemory));
    EXPECT_EQ(seen.error().table.value(), 0x3000 + 8 * i2);
    memory().missing.clear();
    put(0x1000, i4, 0x7f'0000'0000 | all);
    EXPECT_TRUE(ends_with(walk(four_levels, gva4), Kind::NotInMemory)) << "far beyond the memory";
}

TEST_F(WalkGuest, TablesThatMapThemselvesEnd) {
    put(0x1000, 0, 0x1000 | all);
    EXPECT_TRUE(leads_to(walk(four_levels, 0x123), 0x1123));
    EXPECT_EQ(entry(0x1000, 0) & ~(a | d), 0x1000 | all);
}

TEST_F(WalkGuest, AnEntryThatChangesMeanwhileIsReadAgain) {
    four(all, all, all, all);
    bool first = true;
    // When the walk is about to read level 1, another vCPU moves the table of level 1.
    put(0x5000, i1, 0x4321'0000 | all);
    memory().on_look = [&](Gpa gpa) {
        if (gpa.value() != 0x4000 + 8 * i1 || !first) return;
        first = false;
        put(0x3000, i2, 0x5000 | all);
    };
    const auto seen = walk(four_levels, gva4, write);
    EXPECT_TRUE(leads_to(seen, 0x4321'0abc)) << "an entry was changed while the walk was below it";
    EXPECT_EQ(entry(0x3000, i2), 0x5000 | all | a) << "what the other vCPU wrote must not be lost";
}

TEST_F(WalkGuest, BeginsAnewOnlyIfAnEntryHasChanged) {
    unsigned looks = 0;
    memory().on_look = [&](Gpa) { ++looks; };
    const auto looks_of = [&](const GuestAccess& access) {
        looks = 0;
        (void)walk(four_levels, gva4, access);
        return looks;
    };
    four(all, all, all, all & ~rw);
    for (std::uint64_t offset = 0; offset < 8; ++offset) {
        looks = 0;
        EXPECT_TRUE(walk(four_levels, gva4 / page * page + offset));
        EXPECT_EQ(looks, 4U) << "one look an entry, offset " << offset;
    }
    EXPECT_EQ(looks_of(write), 4U) << "a write that is refused";
    four(all, all, 0, all);
    EXPECT_EQ(looks_of(read), 3U) << "level 2 is not present";
}

TEST_F(WalkGuest, TwoVcpusWalkAtOnce) {
    four(all, all, all, all);
    put(0x6000, i1, 0x4321'0000 | p);  // of vCPU 1's tables: read-only
    put(0x7000, i4, 0x2000 | all);
    put(0x2000, i3 ^ 1, 0x8000 | all);
    put(0x8000, i2, 0x6000 | all);
    Paging other = four_levels;
    other.cr3 = 0x7000;
    EXPECT_TRUE(walk(other, gva4 ^ gib, read));
    bool first = true;
    memory().on_look = [&](Gpa gpa) {
        if (gpa.value() != 0x4000 + 8 * i1 || !std::exchange(first, false)) return;
        EXPECT_TRUE(leads_to(walk(other, gva4 ^ gib, read), 0x4321'0abc)) << "vCPU 1";
    };
    EXPECT_TRUE(leads_to(walk(four_levels, gva4, user_write), 0x1234'5abc))
        << "vCPU 1 has walked while vCPU 0 was about to read level 1";
    EXPECT_EQ(entry(0x1000, i4), 0x2000 | all | a) << "level 4, vCPU 0";
    EXPECT_EQ(entry(0x2000, i3), 0x3000 | all | a) << "level 3, vCPU 0";
    EXPECT_EQ(entry(0x4000, i1), 0x1234'5000 | all | a | d) << "level 1, vCPU 0";
    EXPECT_EQ(entry(0x6000, i1), 0x4321'0000 | p | a) << "level 1, vCPU 1";
}

TEST_F(WalkGuest, TablesThatAlwaysChangeEndTheWalk) {
    four(all, all, all, all);
    unsigned looks = 0;
    memory().on_look = [&](Gpa gpa) {
        if (gpa.value() != 0x4000 + 8 * i1) return;
        ++looks;
        if (looks < 1000) put(0x3000, i2, 0x4000 | all | std::uint64_t{looks % 2} << 9);
    };
    EXPECT_TRUE(ends_with(walk(four_levels, gva4, write), Kind::Busy));
    EXPECT_EQ(looks, vmm::walk_attempts);
}

TEST_F(WalkGuest, TellsWhatItHasRead) {
    four(all, all, all, all);
    GuestMemory::Walk notes;
    notes.add(*memory().gpa2hpa(Gpa{0}), 8, 0x77);  // of another walk
    ASSERT_TRUE(walk_guest(memory(), four_levels, Gva{gva4}, std::nullopt, &notes));
    EXPECT_TRUE(notes.still_holds()) << "nothing has changed";
    ASSERT_EQ(notes.entries().size(), 4U);
    for (const auto& one : notes.entries()) EXPECT_EQ(one.size, 8U) << "bytes of an entry";
    for (const auto& [table, index] : {std::pair{0x1000U, i4}, std::pair{0x2000U, i3},
                                       std::pair{0x3000U, i2}, std::pair{0x4000U, i1}}) {
        const std::uint64_t value = entry(table, index);
        put(table, index, value ^ 1 << 9);
        EXPECT_FALSE(notes.still_holds()) << "the entry in the table at " << hex(table);
        put(table, index, value);
    }
    EXPECT_TRUE(notes.still_holds());

    two(all, all);
    ASSERT_TRUE(walk_guest(memory(), two_levels, Gva{gva2}, std::nullopt, &notes));
    ASSERT_EQ(notes.entries().size(), 2U);
    for (const auto& one : notes.entries()) EXPECT_EQ(one.size, 4U) << "bytes of an entry";

    // Of a walk that begins anew, the first attempt's entries are forgotten.
    four(all, all, all, all);
    bool first = true;
    memory().on_look = [&](Gpa gpa) {
        if (gpa.value() == 0x4000 + 8 * i1 && std::exchange(first, false))
            put(0x3000, i2, 0x4000 | all | 1 << 9);
    };
    ASSERT_TRUE(walk_guest(memory(), four_levels, Gva{gva4}, write, &notes));
    ASSERT_EQ(notes.entries().size(), 4U) << "a walk that began anew";
    EXPECT_EQ(notes.entries()[2].value & 1 << 9, 1U << 9) << "what the second attempt has read";
    memory().on_look = {};

    GuestMemory::Walk none;
    none.add(*memory().gpa2hpa(Gpa{0}), 8, 0x77);
    ASSERT_TRUE(walk_guest(memory(), {}, Gva{0x1000}, std::nullopt, &none));
    EXPECT_TRUE(none.still_holds())
        << "without paging nothing is read, and what was there before goes";
}

}  // namespace
}  // namespace lab
