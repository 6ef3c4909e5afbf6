// SPDX-License-Identifier: MIT
// Task lab1.map_segment.
#include <algorithm>
#include <initializer_list>
#include <memory>
#include <utility>

#include "kern/proc/address_space.hh"
#include "page_table.hh"

namespace lab {
namespace {

using kern::AddressSpace;
using kern::Hpa;
using kern::Rights;
using kern::Uva;
using kern::elf::pf_r;
using kern::elf::pf_w;
using kern::elf::pf_x;
using kern::elf::ProgramHeader;

constexpr std::uint64_t page = 4096;
constexpr std::uint64_t file_size = 128 * 1024;

/// What one page must be.
struct WantedPage {
    Rights rights;
    Bytes bytes = Bytes(page);
};

/// A file of 2^40 bytes and four pages: the same bytes again and again. Their number is no power of
/// two, so that an offset which has lost its upper bits finds other ones.
class LargeFile final : public kern::Peeker {
   public:
    static constexpr std::uint64_t period = 31 * page;
    explicit LargeFile(const Bytes& bytes) : bytes_{bytes} {}
    std::uint64_t size() const override { return (1ULL << 40) + 4 * page; }
    std::expected<void, Error> peek(std::uint64_t offset, std::span<std::byte> out) const override {
        if (offset > size() || out.size() > size() - offset)
            return std::unexpected(Error::Truncated);
        for (auto& byte : out) byte = bytes_[offset++ % period];
        return {};
    }

   private:
    const Bytes& bytes_;
};

/// A program's memory as the contract describes it, built up segment by segment.
class MapSegment : public MachineTest {
   protected:
    void SetUp() override {
        MachineTest::SetUp();
        auto made = AddressSpace::create();
        if (!made) FAIL() << "the test has no frame for an address space";
        space_ = std::move(*made);
        contents_ = random().bytes(file_size);
    }
    void clear() override { space_.reset(); }

    AddressSpace& space() { return *space_; }
    const Bytes& contents() const { return contents_; }

    /// A segment, all of it in the file, that is placed in the file as in memory.
    static ProgramHeader segment(std::uint64_t vaddr, std::uint64_t size,
                                 std::uint32_t flags = pf_r | pf_x) {
        return {.p_type = kern::elf::pt_load,
                .p_flags = flags,
                .p_offset = random().page_between(0, 10) + vaddr % page,
                .p_vaddr = vaddr,
                .p_paddr = vaddr,
                .p_filesz = size,
                .p_memsz = size,
                .p_align = page};
    }
    static ProgramHeader with_memsz(ProgramHeader header, std::uint64_t memsz) {
        header.p_memsz = memsz;
        return header;
    }
    static std::uint64_t some_page() { return random().page_between(0x400, 0x7ffff); }

    std::expected<void, Error> map(const ProgramHeader& header) {
        const MemoryPeeker file{contents_};
        return kern::map_segment(*space_, header, file);
    }
    /// Maps the segment and notes what must be there.
    void load(const ProgramHeader& header) {
        ASSERT_TRUE(succeeds(map(header))) << in_words(header);
        note(header, header.p_offset);
    }
    /// The segment is mapped: its bytes in the file are those from `offset` on.
    void note(const ProgramHeader& header, std::uint64_t offset) {
        const Rights rights{.write = (header.p_flags & pf_w) != 0,
                            .execute = (header.p_flags & pf_x) != 0};
        for (std::uint64_t i = 0; i < header.p_memsz; ++i) {
            const std::uint64_t at = header.p_vaddr + i;
            auto& target = wanted_[at / page * page];
            if (i == 0 || at % page == 0) target.rights = target.rights | rights;
            target.bytes[at % page] = i < header.p_filesz ? contents_[offset + i] : std::byte{};
        }
    }
    /// Brings in a page full of bytes, as an earlier segment might have.
    void put_page(std::uint64_t address, Rights rights) {
        const auto made = space_->allocate_page(Uva{address}, rights);
        ASSERT_TRUE(succeeds(made));
        const Bytes noise = random().bytes(page);
        std::ranges::copy(noise, AddressSpace::bytes(*made).begin());
        wanted_[address] = {.rights = rights, .bytes = noise};
    }

    /// The list of pages, the page table, and what is in the pages.
    ::testing::AssertionResult all_is_as_wanted() {
        if (auto same = pages_and_rights_are_as_wanted(); !same) return same;
        return bytes_are_as_wanted();
    }
    /// The pages that are there, and each byte of them, whatever their rights: for cases that are
    /// not about rights.
    ::testing::AssertionResult bytes_are_as_wanted() {
        for (const auto& [address, wanted] : wanted_) {
            const auto found = space_->find(Uva{address});
            if (!found)
                return ::testing::AssertionFailure()
                       << "no page at " << hex(address) << ", where there must be one";
            const auto seen = AddressSpace::bytes(*found);
            const auto [s, w] = std::ranges::mismatch(seen, wanted.bytes);
            if (w != wanted.bytes.end())
                return ::testing::AssertionFailure()
                       << "the byte at " << hex(address + (w - wanted.bytes.begin())) << " is "
                       << hex(std::to_integer<unsigned>(*s)) << ", wanted is "
                       << hex(std::to_integer<unsigned>(*w));
        }
        return only_these_pages();
    }
    ::testing::AssertionResult only_these_pages() const {
        if (space_->page_count() != wanted_.size())
            return ::testing::AssertionFailure()
                   << space_->page_count() << " pages are mapped, " << wanted_.size() << " must be";
        if (taken(kern::frame_owner::user_page) != wanted_.size())
            return ::testing::AssertionFailure()
                   << taken(kern::frame_owner::user_page) << " frames are in use for "
                   << wanted_.size() << " pages";
        return ::testing::AssertionSuccess();
    }
    ::testing::AssertionResult pages_and_rights_are_as_wanted() {
        WalkedPages pages;
        for (const auto& [address, wanted] : wanted_) {
            const auto found = space_->find(Uva{address});
            if (!found)
                return ::testing::AssertionFailure()
                       << "no page at " << hex(address) << ", where there must be one";
            if (found->rights != wanted.rights)
                return ::testing::AssertionFailure()
                       << "the page at " << hex(address) << " has " << in_words(found->rights)
                       << ", wanted is " << in_words(wanted.rights);
            pages[address] = {.frame = found->frame.value(),
                              .write = wanted.rights.write,
                              .user = true,
                              .execute = wanted.rights.execute,
                              .entry = found->frame.value() | walker::p | walker::us |
                                       (wanted.rights.write ? walker::rw : 0) |
                                       (wanted.rights.execute ? 0 : walker::nx)};
        }
        if (auto same = only_these_pages(); !same) return same;
        return same_pages(walk(space_->root()), pages);
    }

    static std::string in_words(Rights rights) {
        return std::string{"the rights read"} + (rights.write ? ", write" : "") +
               (rights.execute ? ", execute" : "");
    }
    static std::string in_words(const ProgramHeader& header) {
        return "a segment with p_vaddr " + hex(header.p_vaddr) + " p_offset " +
               hex(header.p_offset) + " p_filesz " + hex(header.p_filesz) + " p_memsz " +
               hex(header.p_memsz) + " p_flags " + hex(header.p_flags);
    }

   private:
    std::unique_ptr<AddressSpace> space_;
    Bytes contents_;
    std::map<std::uint64_t, WantedPage> wanted_;
};

// What the original exercise asks for: whole segments out of the file.

TEST_F(MapSegment, MapsOnePage) {
    load(segment(some_page(), page));
    EXPECT_TRUE(bytes_are_as_wanted());
}

TEST_F(MapSegment, MapsEveryPageOfASegment) {
    load(segment(some_page(), random().between(3, 9) * page + random().between(1, page - 1)));
    EXPECT_TRUE(bytes_are_as_wanted());
}

TEST_F(MapSegment, MapsSeveralSegments) {
    const std::uint64_t base = some_page();
    load(segment(base, page, pf_r | pf_x));
    load(segment(base + 2 * page, page, pf_r));
    load(segment(base + 0x20'0000, page, pf_r | pf_w));
    EXPECT_TRUE(bytes_are_as_wanted());
}

TEST_F(MapSegment, GivesTheRightsThatTheSegmentHas) {
    std::uint64_t at = some_page();
    for (std::uint32_t flags = 0; flags < 8; ++flags, at += page) load(segment(at, page, flags));
    EXPECT_TRUE(all_is_as_wanted());
    // Downwards, so that the page behind each segment is there already, and is not the segment's.
    at += 16 * page;
    for (std::uint32_t flags = 0; flags < 8; ++flags, at -= page) load(segment(at, page, flags));
    EXPECT_TRUE(all_is_as_wanted()) << "where the page behind the segment was there before";
}

TEST_F(MapSegment, LooksAtNoOtherFlags) {
    load(segment(some_page(), page, pf_r | 0xfff0'0000));
    load(segment(0x9000'0000, page, pf_r | pf_w | 0x0ff0'0000));
    EXPECT_TRUE(all_is_as_wanted());
}

TEST_F(MapSegment, LooksAtNoOtherFields) {
    constexpr std::uint32_t gnu_relro = 0x6474'e552;
    auto header = segment(some_page(), page);
    header.p_type = gnu_relro;
    load(header);
    header = segment(0x9000'0000, page);
    header.p_paddr = random().next();
    load(header);
    header = segment(0xa000'0000, page);
    header.p_align = 3;
    load(header);
    EXPECT_TRUE(bytes_are_as_wanted()) << "p_type, p_paddr and p_align mean nothing here";
}

TEST_F(MapSegment, MapsALargeSegment) {
    // More than 16 bits of bytes in the file, more than 8 bits of pages in memory.
    auto header = with_memsz(segment(0x12'3450'0000, 100'000, pf_r | pf_w), 300 * page);
    header.p_offset = 2 * page;
    load(header);
    EXPECT_TRUE(bytes_are_as_wanted());
}

TEST_F(MapSegment, MapsFromALargeFile) {
    const LargeFile file{contents()};
    std::uint64_t at = some_page();
    for (const std::uint64_t offset : std::initializer_list<std::uint64_t>{
             2 * page, 0x9000'0000, 0x7'0000'3000, (1ULL << 40) - 3 * page}) {
        auto header = segment(at, 2 * page + 5, pf_r | pf_w);
        header.p_offset = offset;
        ASSERT_TRUE(succeeds(kern::map_segment(space(), header, file))) << in_words(header);
        note(header, offset % LargeFile::period);
        ASSERT_TRUE(bytes_are_as_wanted()) << in_words(header);
        at += 4 * page;
    }
}

TEST_F(MapSegment, MapsTheLastPageThatAProgramMayHave) {
    load(segment(kern::user_layout::end.value() - page, page));
    load(segment(kern::user_layout::begin.value(), page));
    EXPECT_TRUE(bytes_are_as_wanted());
    load(segment(kern::user_layout::end.value() - 1, 1));
    EXPECT_TRUE(bytes_are_as_wanted()) << "the last byte alone";
}

TEST_F(MapSegment, RefusesAddressAndOffsetThatDisagree) {
    for (const std::uint64_t off : std::initializer_list<std::uint64_t>{
             std::uint64_t{1}, random().between(2, page - 2), page - 1}) {
        auto header = segment(some_page(), page);
        header.p_offset += off;
        EXPECT_TRUE(fails_with(map(header), Error::BadFormat)) << in_words(header);
        header.p_offset -= off;
        header.p_vaddr += off;
        EXPECT_TRUE(fails_with(map(header), Error::BadFormat)) << in_words(header);
    }
    EXPECT_TRUE(bytes_are_as_wanted());
}

TEST_F(MapSegment, RefusesMoreBytesInTheFileThanInMemory) {
    for (const std::uint64_t more : std::initializer_list<std::uint64_t>{
             std::uint64_t{1}, page, random().between(2, 5 * page), 5 * page + 1}) {
        const auto header = with_memsz(segment(some_page(), 5 * page + 1), 5 * page + 1 - more);
        EXPECT_TRUE(fails_with(map(header), Error::BadFormat)) << in_words(header);
    }
    // Of a file that has so many: the lowest 32 bits of p_filesz alone are less than p_memsz.
    const LargeFile file{contents()};
    const auto header = with_memsz(segment(some_page(), (1ULL << 32) + page), 2 * page);
    EXPECT_TRUE(fails_with(kern::map_segment(space(), header, file), Error::BadFormat))
        << in_words(header);
    EXPECT_TRUE(bytes_are_as_wanted());
}

TEST_F(MapSegment, RefusesPageZeroAndTheKernelsHalf) {
    const std::uint64_t end = kern::user_layout::end.value();
    for (const std::uint64_t vaddr :
         std::initializer_list<std::uint64_t>{std::uint64_t{0}, end, 1ULL << 47, 1ULL << 48,
                                              ~0ULL << 47, 0xffff'ffff'8010'0000ULL, 0 - page}) {
        const auto header = segment(vaddr, page);
        EXPECT_TRUE(fails_with(map(header), Error::OutOfRange)) << in_words(header);
    }
    for (const auto& [vaddr, size] : {std::pair{std::uint64_t{0}, 3 * page},
                                      {page - 8, std::uint64_t{16}},
                                      {end - page, page + 1},
                                      {end - 2 * page, 4 * page}}) {
        const auto header = segment(vaddr, size);
        EXPECT_TRUE(fails_with(map(header), Error::OutOfRange)) << in_words(header);
    }
    EXPECT_TRUE(bytes_are_as_wanted()) << "nothing of such a segment is mapped";
}

TEST_F(MapSegment, RefusesAnEndThatWraps) {
    const std::uint64_t vaddr = some_page();
    for (const std::uint64_t memsz : std::initializer_list<std::uint64_t>{
             0 - vaddr, 0 - vaddr + page, ~0ULL, ~0ULL - page, 1ULL << 63, (1ULL << 47) - vaddr}) {
        const auto header = with_memsz(segment(vaddr, page), memsz);
        EXPECT_TRUE(fails_with(map(header), Error::OutOfRange)) << in_words(header);
    }
    EXPECT_TRUE(bytes_are_as_wanted());
}

TEST_F(MapSegment, RefusesAFileThatEndsTooEarly) {
    const std::uint64_t there = some_page();
    put_page(there + page, {.execute = true});
    for (const std::uint64_t offset :
         std::initializer_list<std::uint64_t>{file_size, file_size - page, file_size - 2 * page,
                                              file_size + page, 0 - page, 0 - 3 * page}) {
        auto header = segment(there, 2 * page + 1, pf_r | pf_w);
        header.p_offset = offset;
        EXPECT_TRUE(fails_with(map(header), Error::Truncated)) << in_words(header);
    }
    auto none = with_memsz(segment(there, 0, pf_r | pf_w), page);
    for (const std::uint64_t offset : {file_size + page, std::uint64_t{1} << 40}) {
        none.p_offset = offset;
        EXPECT_TRUE(fails_with(map(none), Error::Truncated)) << in_words(none);
    }
    EXPECT_TRUE(all_is_as_wanted()) << "after an error the pages and rights are as before";
    auto last = segment(there + 3 * page, page);
    last.p_offset = file_size - page;
    load(last);
    EXPECT_TRUE(bytes_are_as_wanted()) << "the file's last bytes";
}

// What this kernel asks for beyond it.

TEST_F(MapSegment, FillsTheRestWithZeros) {
    const std::uint64_t size = random().between(1, 3) * page + random().between(1, page - 1);
    load(with_memsz(segment(some_page(), size, pf_r | pf_w),
                    size + 2 * page + random().between(1, page - 1)));
    EXPECT_TRUE(bytes_are_as_wanted());

    load(
        with_memsz(segment(0xa000'0000 + random().between(1, page - 1), 3 * page, pf_w), 5 * page));
    EXPECT_TRUE(bytes_are_as_wanted()) << "one that begins within a page";

    auto last = with_memsz(segment(0x9000'0000, page + page / 2, pf_r | pf_w), 4 * page);
    last.p_offset = file_size - 2 * page;
    last.p_filesz = 2 * page;
    load(last);
    EXPECT_TRUE(bytes_are_as_wanted()) << "the file ends where the zeros begin";
}

TEST_F(MapSegment, MapsASegmentThatHasNothingInTheFile) {
    load(with_memsz(segment(some_page(), 0, pf_r | pf_w), 2 * page + 1));
    auto behind = with_memsz(segment(0x9000'0000, 0, pf_r | pf_w), page);
    behind.p_offset = file_size;  // none of no bytes is missing
    load(behind);
    EXPECT_TRUE(bytes_are_as_wanted());
}

TEST_F(MapSegment, StartsAndEndsWithinAPage) {
    load(segment(some_page() + random().between(1, page - 1), random().between(1, 16)));
    load(segment(0x9000'0000 + random().between(1, page - 1), 2 * page));
    load(segment(0xa000'0000 + page - 1, 2));
    EXPECT_TRUE(bytes_are_as_wanted());
}

TEST_F(MapSegment, MapsNothingForAnEmptySegment) {
    const std::uint64_t there = some_page();
    put_page(there, {});
    load(segment(there + page, 0));
    EXPECT_TRUE(all_is_as_wanted());
    // Linkers leave empty segments behind whose other numbers mean nothing.
    for (const std::uint64_t vaddr : std::initializer_list<std::uint64_t>{
             0, 1ULL << 47, 0 - page, ~0ULL, there, there + 0x123, there + page + 0x123}) {
        auto header = segment(vaddr, 0, pf_r | pf_w | pf_x);
        header.p_offset += 5;
        load(header);
        header.p_offset = ~0ULL;
        load(header);
    }
    EXPECT_TRUE(all_is_as_wanted()) << "no page more, and no right more for the one that was there";
}

TEST_F(MapSegment, KeepsBothSegmentsOfASharedPage) {
    const std::uint64_t base = some_page();
    const std::uint64_t split = random().between(16, page - 16);
    load(segment(base, split, pf_r | pf_x));
    const auto second = segment(base + split, page - split, pf_r | pf_w);
    load(second);
    EXPECT_TRUE(bytes_are_as_wanted());
    load(second);
    EXPECT_TRUE(bytes_are_as_wanted()) << "the second segment, loaded twice";
}

TEST_F(MapSegment, UnitesTheRightsOnASharedPage) {
    for (const auto& [low, high] : {std::pair{pf_r | pf_x, pf_r | pf_w},
                                    {pf_r | pf_w, pf_r | pf_x},
                                    {pf_r | pf_w | pf_x, pf_r},
                                    {std::uint32_t{pf_r}, pf_r | pf_w}}) {
        const std::uint64_t base = some_page();
        const std::uint64_t split = page + random().between(16, page - 16);
        load(segment(base, split, low));
        load(segment(base + split, 2 * page, high));
        EXPECT_TRUE(pages_and_rights_are_as_wanted());
    }
}

TEST_F(MapSegment, UnitesRightsPageByPage) {
    // Of three pages one was there: the middle one, then the last, then the first.
    for (const std::uint64_t which : std::initializer_list<std::uint64_t>{1, 2, 0})
        for (const auto& there : {Rights{.execute = true}, Rights{.write = true}, Rights{}}) {
            const std::uint64_t base = some_page();
            put_page(base + which * page, there);
            load(segment(base, 3 * page, there.write ? pf_r | pf_x : pf_r | pf_w));
            EXPECT_TRUE(pages_and_rights_are_as_wanted())
                << "of the three pages number " << which << ", from 0 on, was there, with "
                << in_words(there);
        }
}

TEST_F(MapSegment, ChangesOnlyItsOwnBytesOfASharedPage) {
    const std::uint64_t base = some_page();
    put_page(base, {.write = true});
    put_page(base + 2 * page, {});
    const auto begin = base + random().between(16, page - 16);
    const std::uint64_t filesz = random().between(8, 2 * page);
    load(with_memsz(segment(begin, filesz, pf_r), 2 * page));
    EXPECT_TRUE(bytes_are_as_wanted())
        << "zeros where the segment has no bytes in the file, and what "
           "was there where it has none at all";
}

TEST_F(MapSegment, ReportsAReadThatFailsWhicheverItIs) {
    const std::uint64_t base = some_page();
    const auto header = segment(base, 5 * page, pf_r | pf_w);
    unsigned reads = 0;
    {
        auto other = AddressSpace::create();
        ASSERT_TRUE(succeeds(other));
        TestFile file{contents()};
        ASSERT_TRUE(succeeds(kern::map_segment(**other, header, file)));
        reads = file.reads();
    }
    put_page(base + page, {.execute = true});
    for (unsigned failing = 1; failing <= reads; ++failing) {
        TestFile bad{contents()};
        const Error error = failing % 2 != 0 ? Error::DeviceFailure : Error::Busy;
        bad.fail_at(failing, error);
        EXPECT_TRUE(fails_with(kern::map_segment(space(), header, bad), error))
            << "read " << failing << " of " << reads << " fails, this one alone";
        EXPECT_TRUE(pages_and_rights_are_as_wanted()) << "after read " << failing << " failed";
    }
}

TEST_F(MapSegment, ReportsAMissingFrameWhicheverItIs) {
    const std::uint64_t base = 0x7fff'e000 + random().page_between(0, 1);
    put_page(base + page, {.execute = true});
    const auto header = segment(base, 6 * page, pf_r | pf_w);
    unsigned good = 0;
    for (; good < 40; ++good) {
        kern::frames().fail_from(good + 1);
        const auto done = map(header);
        kern::frames().fail_from(0);
        if (done) break;
        EXPECT_TRUE(fails_with(done, Error::OutOfMemory)) << "after " << good << " frames";
        EXPECT_TRUE(pages_and_rights_are_as_wanted()) << "after " << good << " frames";
    }
    EXPECT_GE(good, 5U) << "frames for five pages, and it succeeded with this many";
}

TEST_F(MapSegment, ReportsASegmentThatIsLargerThanTheMachine) {
    const auto header = with_memsz(segment(some_page(), page, pf_r | pf_w), 1ULL << 40);
    EXPECT_TRUE(fails_with(map(header), Error::OutOfMemory));
    EXPECT_TRUE(bytes_are_as_wanted());
    load(segment(some_page(), page));
    EXPECT_TRUE(bytes_are_as_wanted()) << "a small one after it";
}

}  // namespace
}  // namespace lab
