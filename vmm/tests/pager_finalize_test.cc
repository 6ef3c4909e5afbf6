// SPDX-License-Identifier: MIT
// KernelVmPager::finalize_mem: the multiboot2 information, read back tag by tag.
#include <cstring>
#include <map>

#include "vmm/tests/support/pager_fixture.hh"

namespace vmm::test {
namespace {

class PagerFinalize : public PagerTest {
   protected:
    void SetUp() override {
        PagerTest::SetUp();
        make_pager();
        add_loader(Loader::zeros(Gpa{0}, Gpa{0x9000}));
        const auto file = put_file(random().bytes(0x2000));
        add_loader(Loader::bytes_of(file, 0, Gpa{0x9000}, Gpa{0xa010}));
        add_loader(Loader::zeros(Gpa{0x1'0000}, Gpa{0x2'0000}));
    }

    template <class T>
    static T read(std::span<const std::byte> bytes, std::size_t offset) {
        T value{};
        if (offset + sizeof value <= bytes.size())
            std::memcpy(&value, bytes.data() + offset, sizeof value);
        return value;
    }
    /// The tags of the information at `at`, by type, each without its header; checks the chain.
    std::map<std::uint32_t, Bytes> tags(Gpa at) { return tags_in(guest_page(at)); }
    static std::map<std::uint32_t, Bytes> tags_in(std::span<const std::byte> page) {
        std::map<std::uint32_t, Bytes> found;
        const auto total = read<std::uint32_t>(page, 0);
        EXPECT_LE(total, page.size());
        for (std::size_t offset = 8; offset + 8 <= page.size();) {
            const auto type = read<std::uint32_t>(page, offset);
            const auto size = read<std::uint32_t>(page, offset + 4);
            if (size < 8 || size > page.size() - offset) {
                ADD_FAILURE() << "tag " << type << " has size " << size;
                return found;
            }
            found.emplace(type, Bytes{page.data() + offset + 8, page.data() + offset + size});
            offset = kern::align_up(offset + size, 8);
            if (type == 0) {
                EXPECT_EQ(offset, total) << "total_size, at the end tag";
                return found;
            }
        }
        ADD_FAILURE() << "no end tag";
        return found;
    }
};

TEST_F(PagerFinalize, WritesCommandLineAndMemoryMap) {
    ASSERT_TRUE(succeeds(pager().finalize_mem("touch=text cpus=4")));
    const auto found = tags(Gpa{0});
    ASSERT_TRUE(found.contains(1) && found.contains(2) && found.contains(6) && found.contains(0));
    EXPECT_STREQ(reinterpret_cast<const char*>(found.at(1).data()), "touch=text cpus=4");
    const Bytes& map = found.at(6);
    EXPECT_EQ(read<std::uint32_t>(map, 0), 24U) << "entry_size";
    EXPECT_EQ(read<std::uint32_t>(map, 4), 0U) << "entry_version";
    ASSERT_EQ(map.size(), 8 + 2 * 24U) << "two ranges, in whole pages";
    EXPECT_EQ(read<std::uint64_t>(map, 8), 0U);
    EXPECT_EQ(read<std::uint64_t>(map, 16), 0xb000U);
    EXPECT_EQ(read<std::uint32_t>(map, 24), 1U) << "available";
    EXPECT_EQ(read<std::uint64_t>(map, 32), 0x1'0000U);
    EXPECT_EQ(read<std::uint64_t>(map, 40), 0x1'0000U);
}

TEST_F(PagerFinalize, TellsBasicMemory) {
    const struct {
        std::vector<std::pair<std::uint64_t, std::uint64_t>> ram;
        std::uint32_t lower, upper;  // KiB
    } cases[] = {
        {{{0, 0xb000}, {0x1'0000, 0x2'0000}}, 44, 0},
        {{{0, 0xb000}, {0xb000, 0x1'0000}}, 64, 0},
        {{{0, 0x100'0000}}, 640, 15 * 1024},
        {{{0, 0x9'0000}, {0x10'0000, 0x10'1000}}, 576, 4},
        {{{0, 0x1000}, {0xf'f000, 0x20'0010}, {0x30'0000, 0x40'0000}}, 4, 1024 + 4},
        {{{0, 0x1000}, {0x20'0000, 0x30'0000}}, 4, 0},  // nothing at 1 MiB
    };
    for (const auto& one : cases) {
        destroy_pager();
        make_pager();
        for (const auto& [begin, end] : one.ram) add_loader(Loader::zeros(Gpa{begin}, Gpa{end}));
        ASSERT_TRUE(succeeds(pager().finalize_mem("")));
        const auto found = tags(Gpa{0});
        ASSERT_TRUE(found.contains(4));
        ASSERT_EQ(found.at(4).size(), 8U);
        EXPECT_EQ(read<std::uint32_t>(found.at(4), 0), one.lower) << "mem_lower";
        EXPECT_EQ(read<std::uint32_t>(found.at(4), 4), one.upper) << "mem_upper";
        EXPECT_FALSE(found.contains(9)) << "sections that nobody asked for";
    }
}

TEST_F(PagerFinalize, ReplacesTheLoaderOfItsPage) {
    ASSERT_TRUE(succeeds(pager().finalize_mem("", Gpa{0x3000})));
    EXPECT_TRUE(loaders().on_page(Gpa{0x3000}).empty());
    EXPECT_FALSE(loaders().on_page(Gpa{0x2000}).empty());
    EXPECT_FALSE(loaders().on_page(Gpa{0x4000}).empty());
    const auto seen = walk(Gpa{0x3000});
    ASSERT_TRUE(seen);
    EXPECT_TRUE(seen->read && seen->write && seen->execute);
    EXPECT_FALSE(walk(Gpa{0}));
    EXPECT_TRUE(succeeds(pager().load_page(Gpa{0x4000}))) << "RAM beside it";
    EXPECT_TRUE(fails_with(pager().finalize_mem("", Gpa{0x3000}), Error::NotFound));
}

TEST_F(PagerFinalize, RefusesPagesThatAreNotRam) {
    EXPECT_TRUE(fails_with(pager().finalize_mem("", Gpa{0x10}), Error::Unaligned));
    EXPECT_TRUE(fails_with(pager().finalize_mem("", Gpa{1ULL << 32}), Error::OutOfRange))
        << "EBX has 32 bits";
    EXPECT_TRUE(fails_with(pager().finalize_mem("", Gpa{0x9000}), Error::Overlap));
    EXPECT_TRUE(fails_with(pager().finalize_mem("", Gpa{0xa000}), Error::Overlap));
    EXPECT_TRUE(fails_with(pager().finalize_mem("", Gpa{0xb000}), Error::NotFound));
    EXPECT_EQ(guest_frames(), 0U);
}

TEST_F(PagerFinalize, RefusesWhatDoesNotFitAPage) {
    const std::string fits(3800, 'x');
    const std::string too_long(4096, 'x');
    EXPECT_TRUE(fails_with(pager().finalize_mem(too_long), Error::OutOfRange));
    EXPECT_EQ(guest_frames(), 0U);
    ASSERT_TRUE(succeeds(pager().finalize_mem(fits)));
    EXPECT_EQ(tags(Gpa{0}).at(1).size(), fits.size() + 1);
}

TEST_F(PagerFinalize, SurvivesEveryAllocationFailing) {
    for (std::uint64_t failing = 1; failing <= 4; ++failing) {
        kern::frames().fail_from(failing);
        const auto result = pager().finalize_mem("x");
        if (result) break;
        EXPECT_TRUE(fails_with(result, Error::OutOfMemory));
        EXPECT_EQ(guest_frames(), 0U);
        EXPECT_FALSE(loaders().on_page(Gpa{0}).empty());
    }
    kern::frames().fail_from(0);
    if (!walk(Gpa{0})) {
        ASSERT_TRUE(succeeds(pager().finalize_mem("x")));
    }
    EXPECT_TRUE(walk(Gpa{0}));
}

/// A kernel that asks for its sections, and has `count` section headers.
class PagerSections : public PagerFinalize {
   protected:
    static constexpr std::uint64_t table = 0x4000, e_shoff = 40, e_shentsize = 58;
    enum Asks : std::uint16_t { required = 0, optional = 1 };

    Bytes image(Asks asks, std::uint16_t count, std::uint16_t entry_size = 64) {
        ImageLayout layout{.entry = 0x10'0010,
                           .program_headers = {load(0, 0x10'0000, 0x10'0000, 0x1000, 0x1000)}};
        layout.multiboot2_tags.resize(16);
        Patch{layout.multiboot2_tags, 0}
            .put<std::uint16_t>(1)
            .put<std::uint16_t>(asks)
            .put<std::uint32_t>(12)
            .put<std::uint32_t>(9);
        Bytes file = make_image(layout, random());
        Patch{file, e_shoff}.put<std::uint64_t>(count == 0 ? 0 : table);
        Patch{file, e_shentsize}.put(entry_size).put(count).put<std::uint16_t>(7);
        return file;
    }
    /// The information of that kernel, or why there is none.
    std::expected<std::map<std::uint32_t, Bytes>, Error> information(Bytes file) {
        const auto opened = put_file(std::move(file));
        made_.reset();
        auto pager = KernelVmPager::from_image(opened, 4096, npt_format);
        if (!pager) return std::unexpected(pager.error().error);
        made_ = std::move(*pager);
        if (const auto done = made_->finalize_mem("x"); !done)
            return std::unexpected(done.error().error);
        const auto page = made_->gpa2hpa(Gpa{0});
        return tags_in({kern::arch::direct_map(*page), page_size});
    }
    void TearDown() override {
        made_.reset();
        PagerFinalize::TearDown();
    }

    std::unique_ptr<KernelVmPager> made_;
};

TEST_F(PagerSections, AreTheFilesForWhoAsks) {
    for (const Asks asks : {required, optional}) {
        const Bytes file = image(asks, 20);
        const auto found = information(file);
        ASSERT_TRUE(succeeds(found));
        ASSERT_TRUE(found->contains(9) && found->contains(6) && found->contains(1));
        const Bytes& sections = found->at(9);
        ASSERT_EQ(sections.size(), 12 + 20 * 64U);
        EXPECT_EQ(read<std::uint32_t>(sections, 0), 20U) << "num";
        EXPECT_EQ(read<std::uint32_t>(sections, 4), 64U) << "entsize";
        EXPECT_EQ(read<std::uint32_t>(sections, 8), 7U) << "shndx";
        EXPECT_TRUE(std::equal(sections.begin() + 12, sections.end(), file.begin() + table));
    }
}

TEST_F(PagerSections, AFileWithoutThemHasNone) {
    const auto found = information(image(required, 0));
    ASSERT_TRUE(succeeds(found));
    ASSERT_TRUE(found->contains(9));
    EXPECT_EQ(read<std::uint32_t>(found->at(9), 0), 0U);
}

TEST_F(PagerSections, ThatDoNotFitAreLeftOutIfTheyMay) {
    EXPECT_TRUE(fails_with(information(image(required, 64)), Error::OutOfRange));
    const auto found = information(image(optional, 64));
    ASSERT_TRUE(succeeds(found));
    EXPECT_FALSE(found->contains(9));
    EXPECT_TRUE(found->contains(6));
}

TEST_F(PagerSections, ThatAreDamagedAreRefusedOrLeftOut) {
    struct {
        std::uint64_t offset;
        std::uint16_t count, entry_size;
        Error error;
    } const cases[] = {
        {0x1'0000 - 20 * 64 + 1, 20, 64, Error::Truncated},
        {0x1'0000, 1, 64, Error::Truncated},
        {~0ULL - 63, 1, 64, Error::Truncated},
        {~0ULL - 63, 65535, 65535, Error::Truncated},
        {0x1000, 1, 63, Error::BadFormat},
        {0x1000, 1, 0, Error::BadFormat},
    };
    for (const auto& one : cases)
        for (const Asks asks : {required, optional}) {
            Bytes file = image(asks, one.count, one.entry_size);
            Patch{file, e_shoff}.put(one.offset);
            const auto found = information(std::move(file));
            if (asks == required) {
                EXPECT_TRUE(fails_with(found, one.error));
            } else {
                ASSERT_TRUE(succeeds(found));
                EXPECT_FALSE(found->contains(9));
            }
        }
}

TEST_F(PagerSections, ADeviceThatFailsIsAnError) {
    const auto file = put_file(image(required, 20));
    made_ = *KernelVmPager::from_image(file, 4096, npt_format);
    disk().fail_from(1);
    EXPECT_TRUE(fails_with(made_->finalize_mem("x"), Error::DeviceFailure));
    EXPECT_EQ(guest_frames(), 0U);
    disk().fail_from(0);
    EXPECT_TRUE(succeeds(made_->finalize_mem("x")));
}

}  // namespace
}  // namespace vmm::test
