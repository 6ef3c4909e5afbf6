// SPDX-License-Identifier: MIT
// Task lab5.load_phdr. What was registered is seen through LoaderMap and Loader::fill, so that any
// way to cut a segment into loaders is fine.
#include "fixture.hh"

namespace lab {
namespace {

using kern::elf::ProgramHeader;
constexpr std::uint64_t hole_begin = vmm::mmio_hole_begin.value();
constexpr std::uint64_t hole_end = vmm::mmio_hole_end.value();

class LoadPhdr : public PagerTest {
   protected:
    static constexpr std::size_t file_bytes = 200'000;  // not a multiple of a page, nor of a block

    void SetUp() override {
        PagerTest::SetUp();
        file_.emplace(put_file(random().bytes(file_bytes)));
        make_pager();
    }

    const kern::File& file() { return *file_; }
    std::expected<void, Error> register_segment(const ProgramHeader& phdr) {
        return pager().load_phdr(phdr, file());
    }

    /// Whether every byte of [begin, end), and for the pages at its ends none beyond it, has a
    /// loader.
    ::testing::AssertionResult registered_is(std::uint64_t begin, std::uint64_t end) {
        std::uint64_t at = begin;
        for (const Loader& loader : loaders().all()) {
            if (loader.begin().value() != at)
                return ::testing::AssertionFailure()
                       << "a loader begins at " << hex(loader.begin().value()) << ", where "
                       << hex(at) << " is wanted";
            at = loader.end().value();
        }
        if (at == end) return ::testing::AssertionSuccess();
        return ::testing::AssertionFailure()
               << "registered is [" << hex(begin) << ", " << hex(at) << "), wanted is ["
               << hex(begin) << ", " << hex(end) << ")";
    }

    /// What the ELF specification says that these segments make of the page.
    Bytes page_by_elf(Gpa page, const std::vector<ProgramHeader>& segments) {
        Bytes bytes(kern::page_size);
        for (std::uint64_t i = 0; i < kern::page_size; ++i)
            for (const auto& s : segments) {
                const std::uint64_t distance = page.value() + i - s.p_paddr;
                if (page.value() + i >= s.p_paddr && distance < s.p_filesz)
                    bytes[i] = contents()[s.p_offset + distance];
            }
        return bytes;
    }
    void expect_pages(std::uint64_t begin, std::uint64_t end,
                      const std::vector<ProgramHeader>& segments) {
        for (Gpa page = Gpa{begin}.page(); page.value() < end; page += kern::page_size)
            EXPECT_TRUE(same_bytes(page_by_loaders(page), page_by_elf(page, segments)))
                << "of guest page " << hex(page.value());
    }

    void expect_refused(const ProgramHeader& phdr, Error wanted, const char* why) {
        const std::size_t before = loaders().all().size();
        EXPECT_TRUE(fails_with(register_segment(phdr), wanted)) << why;
        EXPECT_EQ(loaders().all().size(), before) << "loaders after an error; " << why;
    }

    /// A segment of a kernel that is linked where it lies.
    static ProgramHeader load(std::uint64_t offset, std::uint64_t paddr, std::uint64_t filesz,
                              std::uint64_t memsz) {
        return vmm::test::load(offset, paddr, paddr, filesz, memsz);
    }
    /// A page-aligned address with room around it.
    std::uint64_t somewhere() { return random().page_between(0x100, 0x4000); }

   private:
    std::optional<kern::File> file_;
};

TEST_F(LoadPhdr, RegistersTheBytesOfTheFile) {
    const std::uint64_t at = somewhere();
    const auto segment = load(0x3000, at, 0x5000, 0x5000);
    ASSERT_TRUE(succeeds(register_segment(segment)));
    EXPECT_TRUE(registered_is(at, at + 0x5000));
    expect_pages(at, at + 0x5000, {segment});
}

TEST_F(LoadPhdr, PhysicalAddressesCount) {
    const std::uint64_t at = somewhere();
    auto segment = load(0x3000, at, 0x2800, 0x2800);
    segment.p_vaddr = 0xffff'ffff'8000'0000 + at;  // where the kernel maps itself later
    ASSERT_TRUE(succeeds(register_segment(segment))) << "p_vaddr is " << hex(segment.p_vaddr);
    EXPECT_TRUE(registered_is(at, at + 0x2800)) << "p_paddr is " << hex(at);
    expect_pages(at, at + 0x2800, {segment});
}

TEST_F(LoadPhdr, RegistersZerosAfterTheBytesOfTheFile) {
    const std::uint64_t at = somewhere();
    const auto segment = load(0x2000, at, 0x2000, 0x6000);
    ASSERT_TRUE(succeeds(register_segment(segment)));
    EXPECT_TRUE(registered_is(at, at + 0x6000)) << "p_memsz is 0x6000, p_filesz is 0x2000";
    expect_pages(at, at + 0x6000, {segment});
}

TEST_F(LoadPhdr, RegistersASegmentOfZerosAlone) {
    const std::uint64_t at = somewhere();
    const auto segment = load(0x1000, at, 0, 0x3000);
    ASSERT_TRUE(succeeds(register_segment(segment)));
    EXPECT_TRUE(registered_is(at, at + 0x3000));
    expect_pages(at, at + 0x3000, {segment});
}

TEST_F(LoadPhdr, PassesFromBytesToZerosWithinAPage) {
    const std::uint64_t at = somewhere();
    const std::uint64_t filesz = 0x1000 + random().between(1, 0xffe);
    const auto segment = load(0x4000, at, filesz, 0x2000 + random().between(1, 0xfff));
    ASSERT_TRUE(succeeds(register_segment(segment)));
    EXPECT_TRUE(registered_is(at, at + segment.p_memsz));
    expect_pages(at, at + segment.p_memsz, {segment});
}

TEST_F(LoadPhdr, ServesStartsAndEndsWithinAPage) {
    const std::uint64_t within = random().between(1, 0xfff);
    const std::uint64_t at = somewhere() + within;
    const auto segment = load(0x5000 + within, at, 0x2345, 0x2345);
    ASSERT_TRUE(succeeds(register_segment(segment)));
    EXPECT_TRUE(registered_is(at, at + 0x2345));
    expect_pages(at, at + 0x2345, {segment});
}

TEST_F(LoadPhdr, ServesAnOffsetThatIsNotThatOfThePage) {
    const std::uint64_t aligned = somewhere();
    const auto file_unaligned = load(0x6000 + random().between(1, 0xfff), aligned, 0x2800, 0x3000);
    ASSERT_TRUE(succeeds(register_segment(file_unaligned)));
    expect_pages(aligned, aligned + 0x3000, {file_unaligned});

    const std::uint64_t within = aligned + 0x10'0000 + random().between(1, 0xfff);
    const auto memory_unaligned = load(0x8000, within, 0x2800, 0x2800);
    ASSERT_TRUE(succeeds(register_segment(memory_unaligned)));
    expect_pages(within, within + 0x2800, {memory_unaligned});
}

TEST_F(LoadPhdr, RegistersBothSegmentsOfASharedPage) {
    std::uint64_t at = somewhere();
    for (const bool low_first : {true, false}) {
        const std::uint64_t border = 0x1000 + random().between(0x100, 0xe00);
        const auto low = load(0x7000, at, border, border);
        const auto high = load(0xa000 + border, at + border + 0x10, 0x1800, 0x2000);
        ASSERT_TRUE(succeeds(register_segment(low_first ? low : high)));
        ASSERT_TRUE(succeeds(register_segment(low_first ? high : low)));
        EXPECT_GE(loaders().on_page(Gpa{at + 0x1000}).size(), 2U)
            << "loaders on the page that both segments are on";
        expect_pages(at, at + border + 0x2010, {low, high});
        at += 0x10'0000;
    }
}

TEST_F(LoadPhdr, ReadsNothingAndTakesNoFrame) {
    const std::uint64_t reads = disk().reads();
    const std::uint64_t frames = kern::frames().in_use();
    const std::uint64_t at = somewhere();
    ASSERT_TRUE(succeeds(register_segment(load(0x1000, at, 0x20000, 0x40000))));
    EXPECT_TRUE(registered_is(at, at + 0x40000));
    EXPECT_EQ(disk().reads(), reads) << "reads of the disk: that is for the first touch of a page";
    EXPECT_EQ(kern::frames().in_use(), frames) << "frames in use";
}

TEST_F(LoadPhdr, RegistersALongSegmentAsEasilyAsAShortOne) {
    const std::uint64_t at = hole_end + somewhere();
    const auto segment = load(0, at, 0x1800, 64ULL << 30);
    ASSERT_TRUE(succeeds(register_segment(segment)));
    EXPECT_TRUE(registered_is(at, at + segment.p_memsz));
    const Gpa last{at + segment.p_memsz - kern::page_size};
    EXPECT_TRUE(same_bytes(page_by_loaders(last), Bytes(kern::page_size)));
    expect_pages(at, at + 0x3000, {segment});
}

TEST_F(LoadPhdr, OfAnEmptySegmentRegistersNothing) {
    const std::uint64_t other = somewhere();
    ASSERT_TRUE(succeeds(register_segment(load(0x1000, other, 0x1000, 0x1000))));
    const std::uint64_t end = vmm::guest_physical_end;
    for (const std::uint64_t at : {std::uint64_t{0}, other + 0x800, hole_begin, hole_end - 1,
                                   end - 1, end, end + 1, ~std::uint64_t{0}})
        EXPECT_TRUE(succeeds(register_segment(load(0x1000, at, 0, 0)))) << "p_paddr is " << hex(at);
    for (const std::uint64_t offset : {file_bytes, file_bytes + 1, ~std::uint64_t{0}})
        EXPECT_TRUE(succeeds(register_segment(load(offset, 0x10'0000, 0, 0))))
            << "p_offset is " << hex(offset) << ", and the segment has no byte of the file";
    EXPECT_TRUE(registered_is(other, other + 0x1000)) << "the segment that is not empty";
}

TEST_F(LoadPhdr, AsksOfZerosWhereTheirFileEndsToo) {
    const std::uint64_t at = somewhere();
    EXPECT_TRUE(succeeds(register_segment(load(file_bytes, at, 0, 0x1000))))
        << "p_offset is the file's end, p_filesz is 0";
    EXPECT_TRUE(registered_is(at, at + 0x1000));
    expect_refused(load(file_bytes + 1, at + 0x10'0000, 0, 0x1000), Error::Truncated,
                   "p_offset is beyond the file, p_filesz is 0");
}

TEST_F(LoadPhdr, AcceptsSegmentsThatJustFit) {
    const auto expect_accepted = [&](const ProgramHeader& phdr, const char* why) {
        EXPECT_TRUE(succeeds(register_segment(phdr))) << why;
        const Gpa last{phdr.p_paddr + phdr.p_memsz - 1};
        EXPECT_TRUE(loaders().overlaps(last, last + 1))
            << "the last byte of a segment that " << why << " has no loader";
    };
    const std::uint64_t end = vmm::guest_physical_end;
    expect_accepted(load(0, end - 0x1001, 0x1001, 0x1001), "ends at 2^40");
    expect_accepted(load(0, hole_begin - 0x800, 0x400, 0x800), "ends where the MMIO hole begins");
    expect_accepted(load(0, hole_end, 0x400, 0x800), "begins where the MMIO hole ends");
    expect_accepted(load(file_bytes - 0x123, 0x10'0000, 0x123, 0x1000), "ends with the file");
    expect_accepted(load(0, 0x10'1000, 0x20, 0x20), "begins where another one ends");
    expect_accepted(load(0, 0, 0x20, 0x20), "begins at 0");
}

TEST_F(LoadPhdr, RefusesMoreBytesInTheFileThanInMemory) {
    const std::uint64_t at = somewhere();
    expect_refused(load(0, at, 0x2001, 0x2000), Error::BadFormat, "p_filesz is p_memsz + 1");
    expect_refused(load(0, at, 0x1000, 0), Error::BadFormat, "p_memsz is 0, p_filesz is not");
}

TEST_F(LoadPhdr, RefusesAddressesThatWrap) {
    const std::uint64_t at = somewhere();
    expect_refused(load(0, at, 0x1000, 0 - at), Error::OutOfRange,
                   "p_paddr + p_memsz is 2^64, which is 0 in 64 bits");
    expect_refused(load(0, at, 0x1000, 0 - at + 0x2000), Error::OutOfRange,
                   "p_paddr + p_memsz wraps to 0x2000");
    expect_refused(load(0, ~0ULL - 0xfff, 0x1000, 0x2000), Error::OutOfRange,
                   "p_paddr is just below 2^64");
}

TEST_F(LoadPhdr, RefusesAddressesBeyond40Bits) {
    const std::uint64_t end = vmm::guest_physical_end;
    expect_refused(load(0, end - 0x1000, 0x800, 0x1001), Error::OutOfRange,
                   "ends one byte beyond 2^40");
    expect_refused(load(0, end, 0x10, 0x10), Error::OutOfRange, "begins at 2^40");
    expect_refused(load(0, end + 0x1000, 0x10, 0x10), Error::OutOfRange, "begins beyond 2^40");
}

TEST_F(LoadPhdr, RefusesTheMmioHole) {
    expect_refused(load(0, hole_begin - 0x800, 0x10, 0x801), Error::OutOfRange,
                   "its last byte is the hole's first");
    expect_refused(load(0, hole_end - 1, 0x10, 0x800), Error::OutOfRange,
                   "its first byte is the hole's last");
    expect_refused(load(0, 0xd000'0000, 0x10, 0x1000), Error::OutOfRange, "lies in the hole");
    expect_refused(load(0, 0xb000'0000, 0x10, 0x8000'0000), Error::OutOfRange,
                   "reaches across the whole hole");
}

TEST_F(LoadPhdr, RefusesBytesBeyondTheFile) {
    const std::uint64_t at = somewhere();
    expect_refused(load(file_bytes - 0x1000, at, 0x1001, 0x2000), Error::Truncated,
                   "ends one byte beyond the file");
    expect_refused(load(file_bytes + 0x1000, at, 0x10, 0x10), Error::Truncated,
                   "begins beyond the file");
    expect_refused(load(~0ULL - 0xf, at, 0x1000, 0x1000), Error::Truncated,
                   "p_offset + p_filesz wraps");
    // In 32 bits these would be small.
    const std::uint64_t far = 1ULL << 32;
    expect_refused(load(far + 0x1000, at, 0x10, 0x10), Error::Truncated,
                   "p_offset is 4 GiB and 0x1000 bytes");
    expect_refused(load(0, hole_end, far + 0x10, far + 0x10), Error::Truncated,
                   "p_filesz is 4 GiB and 0x10 bytes");
}

TEST_F(LoadPhdr, RefusesBytesOfAnotherSegment) {
    const std::uint64_t at = somewhere();
    ASSERT_TRUE(succeeds(register_segment(load(0x1000, at + 0x1080, 0x1000, 0x1800))));
    expect_refused(load(0, at, 0x1081, 0x1081), Error::Overlap,
                   "its last byte is the other's first");
    expect_refused(load(0, at + 0x287f, 0x10, 0x10), Error::Overlap,
                   "its first byte is the other's last");
    expect_refused(load(0, at, 0x4000, 0x4000), Error::Overlap, "it has the other within it");
    expect_refused(load(0, at + 0x1100, 0x10, 0x10), Error::Overlap, "it is within the other");
}

TEST_F(LoadPhdr, RegistersNothingIfOnlyItsZerosOverlap) {
    const std::uint64_t at = somewhere();
    ASSERT_TRUE(succeeds(register_segment(load(0x1000, at + 0x3000, 0x1000, 0x1000))));
    expect_refused(load(0, at, 0x1000, 0x3001), Error::Overlap,
                   "bytes from the file would be free, the last zero is not");
    EXPECT_FALSE(loaders().overlaps(Gpa{at}, Gpa{at + 0x3000}));
}

TEST_F(LoadPhdr, RegistersNothingIfTheMapIsFull) {
    for (std::uint64_t i = 0; i + 1 < vmm::LoaderMap::capacity; ++i)
        add_loader(Loader::zeros(Gpa{i * 0x2000}, Gpa{i * 0x2000 + 0x1000}));
    const std::uint64_t free = 0x4000'0000;
    std::uint64_t fill = 0x5000'0000;
    const auto result = register_segment(load(0, free, 0x1800, 0x3000));
    if (result) {  // with one loader for bytes and zeros there is room
        expect_pages(free, free + 0x3000, {load(0, free, 0x1800, 0x3000)});
    } else {
        EXPECT_TRUE(fails_with(result, Error::OutOfMemory));
        EXPECT_FALSE(loaders().overlaps(Gpa{free}, Gpa{free + 0x3000}))
            << "a part of the segment is registered";
    }
    while (succeeds(loaders().add(Loader::zeros(Gpa{fill}, Gpa{fill + 0x1000})))) fill += 0x2000;
    expect_refused(load(0, free + 0x20'0000, 0x1000, 0x1000), Error::OutOfMemory,
                   "there is no room for any loader");
    ASSERT_TRUE(succeeds(loaders().remove(Gpa{0}, Gpa{0x1000})));
    EXPECT_TRUE(succeeds(register_segment(load(0, free + 0x10'0000, 0x1000, 0x1000))))
        << "after one loader was taken out there is room for a segment without zeros";
}

}  // namespace
}  // namespace lab
