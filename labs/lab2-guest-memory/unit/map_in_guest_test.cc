// SPDX-License-Identifier: MIT
// Task lab2.map_in_guest.
#include <limits>
#include <string>
#include <utility>

#include "program.hh"

namespace lab {
namespace {

constexpr std::uint64_t page = 4096;
constexpr std::uint64_t all = user::right_all;
constexpr std::uint64_t read_execute = user::right_read | user::right_execute;
constexpr std::uint64_t greatest = std::numeric_limits<std::uint64_t>::max();

class MapInGuest : public ProgramTest {
   protected:
    void SetUp() override {
        contents_ = random().bytes(40 * page + random().between(1, page - 1));
        world().put_file("file", contents_);
        file_ = world().open("file");
    }

    struct Region {
        std::uint64_t gpa, memsz, filesz, offset = 0, perm = all;
    };
    std::int64_t map(const Region& region) {
        return user::map_in_guest(FakeWorld::guest, region.gpa, region.memsz, file_, region.filesz,
                                  region.offset, region.perm);
    }
    /// Maps it, and looks whether the guest has what the contract says, and no more.
    void map_and_compare(const Region& region) {
        ASSERT_TRUE(is_done(map(region)))
            << "gpa " << hex(region.gpa) << ", memsz " << hex(region.memsz) << ", filesz "
            << hex(region.filesz) << ", offset " << hex(region.offset);
        const std::uint64_t begin = region.gpa & ~(page - 1);
        const std::uint64_t file_end = region.gpa + region.filesz;
        const std::uint64_t end = (region.gpa + region.memsz + page - 1) & ~(page - 1);
        ASSERT_TRUE(guest_has_pages(begin, end, region.perm));
        EXPECT_TRUE(guest_has(region.gpa, part(region.offset, region.filesz)))
            << "the file's bytes from " << hex(region.offset) << " on";
        EXPECT_TRUE(guest_has_zeros(begin, region.gpa)) << "before the region";
        EXPECT_TRUE(guest_has_zeros(file_end, end)) << "behind the file's bytes";
    }
    std::span<const std::byte> part(std::uint64_t offset, std::uint64_t size) const {
        return std::span{contents_}.subspan(offset, size);
    }
    std::uint64_t file_size() const { return contents_.size(); }
    std::int64_t file() const { return file_; }
    /// A page-aligned address, with room for much behind it.
    static std::uint64_t some_page() { return random().page_between(16, 0x2000); }

   private:
    Bytes contents_;
    std::int64_t file_ = 0;
};

TEST_F(MapInGuest, MapsAPageOfTheFile) {
    map_and_compare({.gpa = some_page(), .memsz = page, .filesz = page});
}

TEST_F(MapInGuest, MapsManyPages) {
    map_and_compare({.gpa = some_page(), .memsz = 37 * page, .filesz = 37 * page, .offset = page});
}

TEST_F(MapInGuest, EachPageHasAFrameOfItsOwn) {
    ASSERT_TRUE(is_done(map({.gpa = some_page(), .memsz = 7 * page, .filesz = 3 * page})));
    EXPECT_GE(world().guest_pages().size(), 7U) << "pages of the guest";
    expect_own_frames();
}

TEST_F(MapInGuest, HasNoPageTooMany) {
    ASSERT_TRUE(is_done(map({.gpa = 1 << 20, .memsz = 3 * page, .filesz = page})));
    EXPECT_TRUE(guest_has_pages(3)) << "a region of three whole pages";
    ASSERT_TRUE(is_done(map({.gpa = (2 << 20) + 1, .memsz = 2 * page - 1, .filesz = 9})));
    EXPECT_TRUE(guest_has_pages(3 + 2)) << "a region from byte 1 of a page to the end of the next";
    ASSERT_TRUE(is_done(map({.gpa = (3 << 20) + page - 1, .memsz = 2, .filesz = 2})));
    EXPECT_TRUE(guest_has_pages(3 + 2 + 2)) << "two bytes, one in each of two pages";
}

TEST_F(MapInGuest, TheRegionMayEndTheFile) {
    const std::uint64_t size = 2 * page + random().between(1, page - 1);
    map_and_compare(
        {.gpa = some_page(), .memsz = size, .filesz = size, .offset = file_size() - size});
}

TEST_F(MapInGuest, LeavesNothingAtUtemp) {
    const Region good{.gpa = 1 << 20, .memsz = 3 * page, .filesz = 2 * page};
    ASSERT_TRUE(is_done(map(good)));
    ASSERT_TRUE(guest_has_pages(good.gpa, good.gpa + good.memsz, all));
    expect_nothing_left("after a region that was mapped");
    // What the answers are is the affair of other cases.
    const auto refused = [&](const Region& region, const std::string& why) {
        map(region);
        expect_nothing_left("after an error: " + why);
    };
    refused({.gpa = 2 << 20, .memsz = page, .filesz = 2 * page}, "filesz is greater than memsz");
    refused({.gpa = 3 << 20, .memsz = page, .filesz = page, .offset = file_size() - 1},
            "the file ends too early");
    refused({.gpa = FakeWorld::guest_bytes - page, .memsz = 2 * page, .filesz = page},
            "the second page is beyond the guest's memory");
    std::uint64_t gpa = 4 << 20;
    for (const auto& [call, name] : {std::pair{Call::page_alloc, "page_alloc"},
                                     {Call::read, "read"},
                                     {Call::seek, "seek"},
                                     {Call::ept_map, "sys_ept_map"}})
        for (unsigned number = 1; number <= 3; ++number, gpa += 1 << 20) {
            world().fail(call, world().calls(call) + number, Failure::failed);
            refused({.gpa = gpa, .memsz = 3 * page, .filesz = 3 * page},
                    std::string{name} + " number " + std::to_string(number) + " failed");
            world().fail(call, 0, Failure::failed);
        }
}

TEST_F(MapInGuest, TheFilesOffsetMayBeAny) {
    map_and_compare({.gpa = some_page(),
                     .memsz = 3 * page,
                     .filesz = 3 * page,
                     .offset = random().between(1, 20) * page + random().between(1, page - 1)});
}

TEST_F(MapInGuest, TheRestOfTheLastPageIsZeros) {
    const std::uint64_t size = 4 * page + random().between(1, page - 1);
    map_and_compare({.gpa = some_page(), .memsz = size, .filesz = size, .offset = 77});
}

TEST_F(MapInGuest, OneByteMoreIsOnePageMore) {
    map_and_compare({.gpa = some_page(), .memsz = 2 * page + 1, .filesz = 2 * page + 1});
}

TEST_F(MapInGuest, WhatTheFileHasNotIsZeros) {
    const std::uint64_t filesz = page + random().between(1, page - 1);
    map_and_compare({.gpa = some_page(), .memsz = 6 * page - 9, .filesz = filesz, .offset = 5});
}

TEST_F(MapInGuest, ZerosNeedNoFile) {
    map_and_compare({.gpa = some_page(), .memsz = 3 * page, .filesz = 0, .offset = file_size()});
}

TEST_F(MapInGuest, TheBootSectorLiesWithinAPage) {
    map_and_compare({.gpa = 0x7c00, .memsz = 512, .filesz = 512});
}

TEST_F(MapInGuest, ARegionMayBeginAndEndAnywhere) {
    for (unsigned i = 0; i < 4; ++i) {
        const std::uint64_t base = (1 + i) << 20;
        const Region region{.gpa = base + random().between(1, page - 1),
                            .memsz = random().between(2 * page, 4 * page),
                            .filesz = random().between(1, 2 * page),
                            .offset = random().between(0, page)};
        ASSERT_TRUE(is_done(map(region)));
        const std::uint64_t end = region.gpa + region.memsz;
        EXPECT_TRUE(guest_has_pages(region.gpa, end, all));
        EXPECT_TRUE(guest_has(region.gpa, part(region.offset, region.filesz)));
        EXPECT_TRUE(guest_has_zeros(base, region.gpa)) << "before the region";
        EXPECT_TRUE(guest_has_zeros(region.gpa + region.filesz, (end + page - 1) & ~(page - 1)))
            << "behind the file's bytes";
    }
}

TEST_F(MapInGuest, ARegionMayEndWithTheGuestsMemory) {
    map_and_compare(
        {.gpa = FakeWorld::guest_bytes - 3 * page, .memsz = 3 * page, .filesz = 2 * page});
}

TEST_F(MapInGuest, HandsTheRightsOn) {
    std::uint64_t gpa = some_page();
    for (const std::uint64_t perm :
         {user::right_read, read_execute, user::right_read | user::right_write, all}) {
        ASSERT_TRUE(is_done(map({.gpa = gpa, .memsz = 2 * page, .filesz = page, .perm = perm})))
            << "perm " << perm;
        EXPECT_TRUE(guest_has_pages(gpa, gpa + 2 * page, perm));
        gpa += 2 * page;
    }
}

TEST_F(MapInGuest, WhereTheFileStoodIsOfNoMatter) {
    std::array<std::byte, 100> some{};
    ASSERT_GT(world().read(file(), some), 0);
    map_and_compare({.gpa = some_page(), .memsz = 2 * page, .filesz = 2 * page, .offset = 0});
    ASSERT_TRUE(is_done(world().seek(file(), file_size() - 1)));
    const std::uint64_t gpa = some_page() + (32 << 20);
    ASSERT_TRUE(is_done(map({.gpa = gpa, .memsz = page, .filesz = page, .offset = 9})));
    EXPECT_TRUE(guest_has(gpa, part(9, page)));
}

TEST_F(MapInGuest, AShortReadIsNotTheEnd) {
    world().read_at_most(random().between(700, 1500));
    map_and_compare({.gpa = some_page() + 123, .memsz = 3 * page, .filesz = 3 * page, .offset = 1});
}

TEST_F(MapInGuest, NothingToDoIsDone) {
    EXPECT_TRUE(is_done(map({.gpa = some_page(), .memsz = 0, .filesz = 0})));
    EXPECT_TRUE(is_done(map({.gpa = some_page() + 5, .memsz = 0, .filesz = 0, .offset = 7})));
    EXPECT_TRUE(is_done(map({.gpa = greatest, .memsz = 0, .filesz = 0, .offset = greatest})));
    EXPECT_EQ(world().guest_pages().size(), 0U) << "pages of the guest";
}

TEST_F(MapInGuest, MoreOfTheFileThanMemoryIsInvalid) {
    for (const std::uint64_t memsz : {std::uint64_t{0}, page - 1, page})
        EXPECT_TRUE(is_error(map({.gpa = some_page(), .memsz = memsz, .filesz = memsz + 1}),
                             Failure::invalid_argument))
            << "memsz " << memsz << ", filesz one more";
    EXPECT_TRUE(is_error(map({.gpa = some_page(), .memsz = page, .filesz = (1ULL << 32) + page}),
                         Failure::invalid_argument))
        << "memsz 0x1000, filesz 0x100001000";
    EXPECT_EQ(world().guest_pages().size(), 0U) << "pages of the guest, after errors";
}

TEST_F(MapInGuest, SumsThatWrapAreInvalid) {
    for (const Region& region :
         {Region{.gpa = greatest, .memsz = 1, .filesz = 1},
          Region{.gpa = greatest - page + 1, .memsz = page, .filesz = page},
          Region{.gpa = 4 * page, .memsz = greatest, .filesz = page},
          Region{.gpa = 4 * page, .memsz = page, .filesz = page, .offset = greatest - page + 1},
          Region{.gpa = 4 * page, .memsz = page, .filesz = 1, .offset = greatest},
          Region{.gpa = 4 * page,
                 .memsz = 1ULL << 32,
                 .filesz = 1ULL << 32,
                 .offset = greatest - (1ULL << 32) + 1}})
        EXPECT_TRUE(is_error(map(region), Failure::invalid_argument))
            << "gpa " << hex(region.gpa) << ", memsz " << hex(region.memsz) << ", filesz "
            << hex(region.filesz) << ", offset " << hex(region.offset);
    EXPECT_EQ(world().guest_pages().size(), 0U) << "pages of the guest, after errors";
}

TEST_F(MapInGuest, SumsThatJustFitAreTheKernelsAffair) {
    EXPECT_TRUE(is_error(map({.gpa = greatest - 5, .memsz = 5, .filesz = 5}), Failure::bad_address))
        << "gpa + memsz is 2^64 - 1, which is no error of its own; but the guest has no such page";
    EXPECT_TRUE(is_error(map({.gpa = 4 * page, .memsz = page, .filesz = 1, .offset = greatest - 1}),
                         Failure::bad_format))
        << "offset + filesz is 2^64 - 1, which is no error of its own; but the file is shorter";
}

TEST_F(MapInGuest, ARegionMayBeLargerThanTheGuest) {
    const Bytes bytes = random().bytes(page);
    for (const std::uint64_t memsz : {1ULL << 32, (1ULL << 32) + 1, (1ULL << 44) + page}) {
        FakeWorld fresh;
        fresh.put_file("file", bytes);
        EXPECT_TRUE(is_error(user::map_in_guest(FakeWorld::guest, FakeWorld::guest_bytes - page,
                                                memsz, fresh.open("file"), page, 0, all),
                             Failure::bad_address))
            << "memsz " << hex(memsz) << ", of which the first page alone is the guest's memory";
    }
}

TEST_F(MapInGuest, AFileThatIsTooShortIsRefused) {
    for (const Region& region :
         {Region{.gpa = 8 << 20, .memsz = page, .filesz = page, .offset = file_size() - page + 1},
          Region{.gpa = 16 << 20, .memsz = 1, .filesz = 1, .offset = file_size()},
          Region{.gpa = 24 << 20, .memsz = 60 * page, .filesz = 60 * page},
          Region{.gpa = 40 << 20, .memsz = 1ULL << 32, .filesz = 1ULL << 32},
          Region{.gpa = 32 << 20, .memsz = 2 * page, .filesz = page, .offset = 1ULL << 40}}) {
        EXPECT_TRUE(is_error(map(region), Failure::bad_format))
            << "filesz " << hex(region.filesz) << " from " << hex(region.offset) << " of "
            << hex(file_size());
    }
}

TEST_F(MapInGuest, NoMemoryForAPage) {
    for (unsigned number = 1; number <= 4; ++number) {
        const std::uint64_t gpa = (8ULL << 20) * number;
        world().fail(Call::page_alloc, world().calls(Call::page_alloc) + number,
                     Failure::out_of_memory);
        EXPECT_TRUE(is_error(map({.gpa = gpa, .memsz = 4 * page, .filesz = 2 * page}),
                             Failure::out_of_memory))
            << "no frame for the page number " << number;
    }
}

TEST_F(MapInGuest, AReadThatFails) {
    for (unsigned number = 1; number <= 3; ++number)
        for (const auto call : {Call::read, Call::seek}) {
            const std::uint64_t gpa = (8ULL << 20) * number + (call == Call::read ? 0 : 1 << 20);
            const unsigned before = world().calls(call);
            world().fail(call, before + number, Failure::failed);
            const auto answer = map({.gpa = gpa, .memsz = 3 * page, .filesz = 3 * page});
            // One seek may be enough for all reads; but each page needs a read.
            if (call == Call::read || world().calls(call) >= before + number) {
                EXPECT_TRUE(is_error(answer, Failure::failed))
                    << (call == Call::read ? "read" : "seek") << " number " << number << " failed";
            }
        }
}

TEST_F(MapInGuest, AMappingThatFails) {
    for (unsigned number = 1; number <= 4; ++number)
        for (const auto failure : {Failure::out_of_memory, Failure::not_found}) {
            const std::uint64_t gpa =
                (8ULL << 20) * number + (failure == Failure::not_found ? 1 << 20 : 0);
            world().fail(Call::ept_map, world().calls(Call::ept_map) + number, failure);
            EXPECT_TRUE(is_error(map({.gpa = gpa, .memsz = 4 * page, .filesz = 2 * page}), failure))
                << "sys_ept_map number " << number << " failed";
        }
}

TEST_F(MapInGuest, WhatTheKernelRefusesIsHandedOn) {
    world().put_guest_page(0x10'2000);
    EXPECT_TRUE(is_error(map({.gpa = 0x10'0000, .memsz = 4 * page, .filesz = 4 * page}),
                         Failure::invalid_argument))
        << "the guest has the third page already";
    EXPECT_TRUE(
        is_error(map({.gpa = FakeWorld::guest_bytes - page, .memsz = 2 * page, .filesz = 2 * page}),
                 Failure::bad_address))
        << "the second page is beyond the guest's memory";
    EXPECT_TRUE(is_error(map({.gpa = 0x20'0000, .memsz = page, .filesz = page, .perm = all + 1}),
                         Failure::invalid_argument))
        << "there is no such right";
    EXPECT_TRUE(
        is_error(map({.gpa = 0x20'0000, .memsz = page, .filesz = page, .perm = (1ULL << 32) + all}),
                 Failure::invalid_argument))
        << "there is no such right, in bit 32";
    EXPECT_TRUE(
        is_error(user::map_in_guest(FakeWorld::guest + 1, 0x30'0000, page, file(), page, 0, all),
                 Failure::not_found))
        << "there is no such guest";
}

}  // namespace
}  // namespace lab
