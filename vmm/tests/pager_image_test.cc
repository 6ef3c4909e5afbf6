// SPDX-License-Identifier: MIT
// KernelVmPager::from_image: what becomes of an image and of RAM around it, and hostile images.
#include <array>
#include <string>

#include "vmm/tests/support/pager_fixture.hh"

namespace vmm::test {
namespace {

using Ranges = std::vector<std::pair<std::uint64_t, std::uint64_t>>;
constexpr std::uint64_t mib = 1 << 20;
constexpr std::uint64_t kib_per_mib = 1024;

class PagerImage : public PagerTest {
   protected:
    using Made = std::expected<std::unique_ptr<KernelVmPager>, Refusal>;
    Made make(const ImageLayout& layout, std::uint64_t ram_kib) {
        return make(make_image(layout, random()), ram_kib);
    }
    Made make(Bytes image, std::uint64_t ram_kib) {
        return KernelVmPager::from_image(put_file(std::move(image)), ram_kib, npt_format);
    }
    /// Pages with a registered byte, neighbours merged.
    static Ranges registered(const KernelVmPager& pager) {
        Ranges ranges;
        for (const Loader& loader : pager.loaders().all()) {
            const std::uint64_t begin = loader.begin().page().value();
            const std::uint64_t end = kern::align_up(loader.end().value(), page_size);
            if (ranges.empty() || ranges.back().second < begin)
                ranges.emplace_back(begin, end);
            else
                ranges.back().second = end;
        }
        return ranges;
    }
    static std::uint64_t bytes_in(const Ranges& ranges) {
        std::uint64_t bytes = 0;
        for (const auto& [begin, end] : ranges) bytes += end - begin;
        return bytes;
    }
    /// The words in which it is refused; none if it is not.
    static std::string words(const Made& made) {
        std::array<char, 128> buffer{};
        const std::string text{made ? "" : made.error().describe(buffer)};
        EXPECT_LT(text.size(), 64U) << "evidence has no room for: " << text;
        return text;
    }
    /// A kernel of one segment at 1 MiB.
    static ImageLayout small_kernel() {
        return {.entry = 0x10'0010,
                .program_headers = {load(0, 0x10'0000, 0x10'0000, 0x3000, 0x5000)}};
    }
};

TEST_F(PagerImage, FillsRamBelowTheImageAndThenBehindIt) {
    const auto pager = make(small_kernel(), 8 * kib_per_mib);
    ASSERT_TRUE(succeeds(pager));
    EXPECT_EQ((*pager)->entry(), Gpa{0x10'0010});
    EXPECT_EQ(registered(**pager), (Ranges{{0, 8 * mib}}));
}

TEST_F(PagerImage, FillsLowMemoryFirst) {
    const auto pager = make(
        {.entry = 0x80'0000, .program_headers = {load(0, 0x80'0000, 0x80'0000, 0x1000, 0x1000)}},
        0x1000 / 1024 + kib_per_mib);
    ASSERT_TRUE(succeeds(pager));
    EXPECT_EQ(registered(**pager), (Ranges{{0, mib}, {0x80'0000, 0x80'1000}}));
}

TEST_F(PagerImage, CountsTheImagesSpanWithItsGaps) {
    const ImageLayout layout{.entry = 0x10'0000,
                             .program_headers = {load(0, 0x10'0000, 0x10'0000, 0x1234, 0x1234),
                                                 load(0, 0x20'0800, 0x20'0800, 0x100, 0x100)}};
    const auto exact = make(layout, 0x10'1000 / 1024);
    ASSERT_TRUE(succeeds(exact)) << "RAM of just the image";
    EXPECT_EQ(registered(**exact), (Ranges{{0x10'0000, 0x20'1000}}));
    EXPECT_TRUE(fails_with(make(layout, 0x10'1000 / 1024 - 4), Error::InvalidArgument))
        << "a page less than the image";
}

TEST_F(PagerImage, LeavesTheMmioHoleOut) {
    const auto pager = make(small_kernel(), 4 * 1024 * kib_per_mib);
    ASSERT_TRUE(succeeds(pager));
    const std::uint64_t beyond = 4096 * mib - mmio_hole_begin.value();
    EXPECT_EQ(registered(**pager),
              (Ranges{{0, mmio_hole_begin.value()},
                      {mmio_hole_end.value(), mmio_hole_end.value() + beyond}}));
}

TEST_F(PagerImage, AnImageAroundTheHoleKeepsItFree) {
    const auto pager = make({.entry = 0xb000'0000,
                             .program_headers = {load(0, 0xb000'0000, 0xb000'0000, 0x10, 0x1000),
                                                 load(0, 0x0, 0x1'1000'0000, 0x10, 0x1000)}},
                            64 * kib_per_mib * 64);
    ASSERT_TRUE(succeeds(pager));
    EXPECT_EQ(bytes_in(registered(**pager)), 64 * 64 * mib);
    EXPECT_FALSE((*pager)->loaders().overlaps(mmio_hole_begin, mmio_hole_end));
}

TEST_F(PagerImage, AnImageAtZeroHasRamBehindItAlone) {
    const auto pager =
        make({.entry = 0, .program_headers = {load(0, 0, 0, 0x1000, 0x1000)}}, kib_per_mib);
    ASSERT_TRUE(succeeds(pager));
    EXPECT_EQ(registered(**pager), (Ranges{{0, mib}}));
}

TEST_F(PagerImage, RoundsRamDownToPages) {
    const auto pager = make(small_kernel(), kib_per_mib + 23);
    ASSERT_TRUE(succeeds(pager));
    EXPECT_EQ(bytes_in(registered(**pager)), mib + 0x5000);
}

TEST_F(PagerImage, TakesOneFrameAndReadsHeadersAlone) {
    ImageLayout layout = small_kernel();
    layout.size = 2 * mib;
    layout.program_headers = {load(0, 0x10'0000, 0x10'0000, 2 * mib, 2 * mib)};
    auto image = make_image(layout, random());
    const auto file = put_file(std::move(image));
    const auto before = kern::frames().in_use();
    std::uint64_t read = 0;
    disk().on_read([&](std::uint64_t, std::size_t bytes) { read += bytes; });
    const auto pager = KernelVmPager::from_image(file, 64ULL * 1024 * kib_per_mib, npt_format);
    ASSERT_TRUE(succeeds(pager));
    EXPECT_EQ(kern::frames().in_use(), before + 1) << "the root of the table";
    EXPECT_LE(read, 64ULL * 1024) << "bytes read of an image of 2 MiB";
    EXPECT_LE((*pager)->loaders().all().size(), 8U) << "loaders for 64 GiB of RAM";
}

TEST_F(PagerImage, RefusesRamThatIsTooLittleOrTooMuch) {
    for (const std::uint64_t kib : {std::uint64_t{0}, std::uint64_t{3}, std::uint64_t{16},
                                    guest_physical_end / 1024, ~std::uint64_t{0}})
        EXPECT_TRUE(fails_with(make(small_kernel(), kib), Error::InvalidArgument)) << kib << " KiB";
}

TEST_F(PagerImage, RefusesFilesThatAreNoKernel) {
    EXPECT_FALSE(make(Bytes{}, kib_per_mib)) << "an empty file";
    EXPECT_FALSE(make(random().bytes(8192), kib_per_mib)) << "no ELF";
    ImageLayout layout = small_kernel();
    layout.multiboot2 = false;
    EXPECT_TRUE(fails_with(make(layout, 2 * kib_per_mib), Error::BadFormat)) << "no multiboot2";
    layout = small_kernel();
    layout.program_headers.clear();
    EXPECT_FALSE(make(layout, 2 * kib_per_mib)) << "no program header";
    layout = small_kernel();
    layout.entry = 1;
    EXPECT_TRUE(fails_with(make(layout, 2 * kib_per_mib), Error::NotFound)) << "no entry";
}

TEST_F(PagerImage, RefusesARequiredTagThatIsNotServed) {
    ImageLayout layout = small_kernel();
    const auto tag = [](std::uint16_t type, std::uint16_t flags) {
        Bytes bytes(8);
        Patch{bytes, 0}.put(type).put(flags).put<std::uint32_t>(8);
        return bytes;
    };
    constexpr std::uint16_t framebuffer = 5;
    constexpr std::uint16_t optional = 1;
    layout.multiboot2_tags = tag(framebuffer, 0);
    EXPECT_TRUE(fails_with(make(layout, 2 * kib_per_mib), Error::Unsupported));
    layout.multiboot2_tags = tag(framebuffer, optional);
    EXPECT_TRUE(succeeds(make(layout, 2 * kib_per_mib)));
}

TEST_F(PagerImage, SaysWhatIsRefused) {
    const auto refused = [&](const ImageLayout& layout, std::uint64_t ram_kib, Error error,
                             const char* wanted) {
        const auto made = make(layout, ram_kib);
        EXPECT_TRUE(fails_with(made, error));
        EXPECT_EQ(words(made), wanted);
    };
    constexpr std::uint64_t ram = 8 * kib_per_mib;
    refused(small_kernel(), 3, Error::InvalidArgument,
            "ram= is less than a page, or more than 2^40 bytes");
    refused(small_kernel(), 16, Error::InvalidArgument,
            "ram= is less than its image, or more than 2^40 bytes");
    ImageLayout layout = small_kernel();
    layout.multiboot2_tags.resize(24);
    Patch{layout.multiboot2_tags, 0}.put<std::uint32_t>(1).put<std::uint32_t>(20);
    Patch{layout.multiboot2_tags, 8}.put<std::uint32_t>(4).put<std::uint32_t>(6).put(
        std::uint32_t{8});
    refused(layout, ram, Error::Unsupported, "its header requires a framebuffer: information 8");

    const struct {
        kern::elf::ProgramHeader segment;
        Error error;
        const char* words;
    } bad[] = {
        {load(0, 0, 0x30'0000, 2, 1), Error::BadFormat,
         "p_filesz is greater than p_memsz: program header 2"},
        {load(0, 0, ~0ULL, 1, 1), Error::OutOfRange,
         "it leaves 2^40 or is in the MMIO hole: program header 2"},
        {load(~0ULL, 0, 0x30'0000, 1, 1), Error::Truncated,
         "the file ends before its bytes: program header 2"},
        {load(0, 0, 0x10'4fff, 1, 1), Error::Overlap,
         "it shares a byte with another: program header 2"},
    };
    for (const auto& one : bad) {
        layout = small_kernel();
        layout.program_headers.push_back({.p_type = kern::elf::pt_note});
        layout.program_headers.push_back(one.segment);
        refused(layout, ram, one.error, one.words);
    }
    layout = small_kernel();
    layout.entry = 0xffff'ffff'8000'0000;
    refused(layout, ram, Error::NotFound, "no segment holds its entry point");
}

TEST_F(PagerImage, RefusesAnEntryThatProtectedModeCannotReach) {
    const auto at = [&](std::uint64_t paddr) {
        return make(
            {.entry = 0x10'0000, .program_headers = {load(0, 0x10'0000, paddr, 0x1000, 0x1000)}},
            4 * kib_per_mib);
    };
    EXPECT_TRUE(succeeds(at(0xbffd'9000)));
    const auto beyond = at(1ULL << 32);
    EXPECT_TRUE(fails_with(beyond, Error::OutOfRange));
    EXPECT_EQ(words(beyond), "its entry lies beyond 4 GiB: it begins without paging");
}

TEST_F(PagerImage, NamesAPhysicalEntryPoint) {
    // As in a vmlinux; its segment of per-CPU data is at virtual address 0.
    constexpr std::uint64_t text = 0xffff'ffff'8100'0000;
    ImageLayout layout{.entry = 0x100'0000,
                       .program_headers = {load(0x1000, text, 0x100'0000, 0x2000, 0x2000),
                                           load(0x3000, 0, 0x200'0000, 0x1000, 0x1000)}};
    const auto physical = make(layout, 64 * kib_per_mib);
    EXPECT_TRUE(fails_with(physical, Error::NotFound));
    EXPECT_EQ(words(physical), "e_entry is a physical address: a virtual one is wanted");
    layout.entry = text;
    const auto pager = make(layout, 64 * kib_per_mib);
    ASSERT_TRUE(succeeds(pager));
    EXPECT_EQ((*pager)->entry(), Gpa{0x100'0000});
}

TEST_F(PagerImage, HeadersMayHaveSegmentsOfTheirOwn) {
    // A multiboot1 header of 12 bytes, a multiboot2 header of 0x38, and the rest: the first two
    // share a page, and what lies between them is nobody's.
    constexpr std::uint64_t base = 0x800'0000;
    const ImageLayout layout{
        .entry = base + 0x1000,
        .program_headers = {load(0x1000, base, base, 0xc, 0xc),
                            load(0x1010, base + 0x10, base + 0x10, 0x38, 0x38),
                            load(0x2000, base + 0x1000, base + 0x1000, 0x5000, 0x4'702a)}};
    const auto made = make(layout, 64 * kib_per_mib);
    ASSERT_TRUE(succeeds(made));
    KernelVmPager& pager = **made;
    EXPECT_EQ(registered(pager), (Ranges{{0, 64 * mib - 0x4'9000}, {base, base + 0x4'9000}}));
    ASSERT_TRUE(succeeds(pager.load_page(Gpa{base})));
    const auto page = pager.gpa2hpa(Gpa{base});
    ASSERT_TRUE(page);
    Bytes wanted(page_size);
    std::copy_n(contents().begin() + 0x1000, 0xc, wanted.begin());
    std::copy_n(contents().begin() + 0x1010, 0x38, wanted.begin() + 0x10);
    EXPECT_TRUE(same_bytes({kern::arch::direct_map(*page), page_size}, wanted));
    EXPECT_TRUE(succeeds(pager.load_page(Gpa{base + 0x4'8000}))) << "the last page of zeros";
    EXPECT_TRUE(succeeds(pager.finalize_mem("")));
}

TEST_F(PagerImage, SurvivesTruncationAnywhereInItsHeaders) {
    const Bytes whole = make_image(small_kernel(), random());
    for (std::size_t size = 0; size < 0x100; ++size)
        EXPECT_FALSE(make(Bytes{whole.begin(), whole.begin() + size}, 2 * kib_per_mib))
            << "cut to " << size << " bytes";
}

TEST_F(PagerImage, SurvivesEveryCountOfProgramHeaders) {
    for (const std::uint16_t count : {0, 1000, 65535}) {
        Bytes image = make_image(small_kernel(), random());
        constexpr std::size_t e_phnum = 56;
        Patch{image, e_phnum}.put(count);
        EXPECT_FALSE(make(std::move(image), 2 * kib_per_mib)) << count << " program headers";
    }
}

TEST_F(PagerImage, SurvivesHostileHeaders) {
    for (int round = 0; round < 300; ++round) {
        Bytes image = make_image(small_kernel(), random());
        for (int change = 0; change < 4; ++change)  // the ELF header and its program header
            image[random().between(16, 64 + 56 - 1)] = std::byte(random().next());
        const auto pager = make(std::move(image), 2 * kib_per_mib);
        if (!pager) continue;
        for (const Loader& loader : (*pager)->loaders().all()) {
            EXPECT_LE(loader.end().value(), guest_physical_end);
            EXPECT_TRUE(loader.end() <= mmio_hole_begin || loader.begin() >= mmio_hole_end);
        }
    }
}

TEST_F(PagerImage, SurvivesEveryReadAndEveryAllocationFailing) {
    const auto file = put_file(make_image(small_kernel(), random()));
    std::uint64_t failing = 1;
    for (; failing < 100; ++failing) {
        disk().fail_from(failing);
        const auto pager = KernelVmPager::from_image(file, 2 * kib_per_mib, npt_format);
        if (pager) break;
        EXPECT_TRUE(fails_with(pager, Error::DeviceFailure)) << "read " << failing;
    }
    EXPECT_GT(failing, 1U);
    EXPECT_LT(failing, 100U);
    disk().fail_from(0);
    kern::frames().fail_from(1);
    EXPECT_TRUE(fails_with(KernelVmPager::from_image(file, 2 * kib_per_mib, npt_format),
                           Error::OutOfMemory));
}

}  // namespace
}  // namespace vmm::test
