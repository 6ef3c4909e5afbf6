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
    std::map<std::uint32_t, Bytes> tags(Gpa at) {
        std::map<std::uint32_t, Bytes> found;
        const auto page = guest_page(at);
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

}  // namespace
}  // namespace vmm::test
