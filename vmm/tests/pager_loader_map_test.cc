// SPDX-License-Identifier: MIT
#include "vmm/tests/support/pager_fixture.hh"

namespace vmm::test {
namespace {

class LoaderMapTest : public ::testing::Test {
   protected:
    LoaderMap map;

    void add(std::uint64_t begin, std::uint64_t end) {
        ASSERT_TRUE(succeeds(map.add(Loader::zeros(Gpa{begin}, Gpa{end}))));
    }
    void expect_ranges(const std::vector<std::pair<std::uint64_t, std::uint64_t>>& wanted) {
        std::vector<std::pair<std::uint64_t, std::uint64_t>> seen;
        for (const Loader& loader : map.all())
            seen.emplace_back(loader.begin().value(), loader.end().value());
        EXPECT_EQ(seen, wanted);
    }
};

TEST_F(LoaderMapTest, KeepsLoadersInOrder) {
    add(0x5000, 0x6000);
    add(0x1000, 0x1010);
    add(0x3000, 0x5000);
    add(0x1010, 0x1020);
    expect_ranges({{0x1000, 0x1010}, {0x1010, 0x1020}, {0x3000, 0x5000}, {0x5000, 0x6000}});
}

TEST_F(LoaderMapTest, RefusesWhatIsNoRange) {
    const auto add_range = [&](std::uint64_t begin, std::uint64_t end) {
        return map.add(Loader::zeros(Gpa{begin}, Gpa{end}));
    };
    EXPECT_TRUE(fails_with(add_range(0x1000, 0x1000), Error::InvalidArgument));
    EXPECT_TRUE(fails_with(add_range(0x2000, 0x1000), Error::OutOfRange));
    EXPECT_TRUE(fails_with(add_range(0, guest_physical_end + 1), Error::OutOfRange));
    EXPECT_TRUE(succeeds(add_range(0, guest_physical_end)));
}

TEST_F(LoaderMapTest, NoByteHasTwoLoaders) {
    add(0x1000, 0x2000);
    for (const auto& [begin, end] : std::vector<std::pair<std::uint64_t, std::uint64_t>>{
             {0, 0x1001}, {0x1fff, 0x3000}, {0, 0x3000}, {0x1100, 0x1200}, {0x1000, 0x2000}})
        EXPECT_TRUE(fails_with(map.add(Loader::zeros(Gpa{begin}, Gpa{end})), Error::Overlap));
    expect_ranges({{0x1000, 0x2000}});
    EXPECT_FALSE(map.overlaps(Gpa{0}, Gpa{0x1000}));
    EXPECT_FALSE(map.overlaps(Gpa{0x2000}, Gpa{0x3000}));
}

TEST_F(LoaderMapTest, FindsTheLoadersOfAPage) {
    add(0x0800, 0x1100);
    add(0x1100, 0x1200);
    add(0x1f00, 0x9000);
    EXPECT_EQ(map.on_page(Gpa{0}).size(), 1U);
    EXPECT_EQ(map.on_page(Gpa{0x1000}).size(), 3U);
    EXPECT_EQ(map.on_page(Gpa{0x1234}).size(), 3U);
    EXPECT_EQ(map.on_page(Gpa{0x8000}).size(), 1U);
    EXPECT_TRUE(map.on_page(Gpa{0x9000}).empty());
}

TEST_F(LoaderMapTest, RemoveCutsARange) {
    add(0x1000, 0x9000);
    ASSERT_TRUE(succeeds(map.remove(Gpa{0x3000}, Gpa{0x4000})));
    expect_ranges({{0x1000, 0x3000}, {0x4000, 0x9000}});
    ASSERT_TRUE(succeeds(map.remove(Gpa{0x2000}, Gpa{0x5000})));
    expect_ranges({{0x1000, 0x2000}, {0x5000, 0x9000}});
    ASSERT_TRUE(succeeds(map.remove(Gpa{0}, Gpa{0x10000})));
    expect_ranges({});
    EXPECT_TRUE(succeeds(map.remove(Gpa{0}, Gpa{0x10000})));
}

TEST_F(LoaderMapTest, TheRestOfACutRangeHasTheSameBytes) {
    Random random;
    const Bytes file = random.bytes(0x4000);
    TestDisk disk{file};
    ASSERT_TRUE(succeeds(map.add(Loader::bytes_of(disk.open(), 0x100, Gpa{0x1000}, Gpa{0x4000}))));
    ASSERT_TRUE(succeeds(map.remove(Gpa{0x1000}, Gpa{0x2000})));
    std::array<std::byte, page_size> page{};
    ASSERT_TRUE(succeeds(map.on_page(Gpa{0x3000})[0].fill(Gpa{0x3000}, page)));
    EXPECT_TRUE(same_bytes(page, std::span{file}.subspan(0x2100, page_size)));
}

TEST_F(LoaderMapTest, IsFullAtItsCapacity) {
    for (std::uint64_t i = 0; i < LoaderMap::capacity; ++i) add(i * 0x4000, i * 0x4000 + 0x3000);
    EXPECT_TRUE(fails_with(map.add(Loader::zeros(Gpa{0x3000}, Gpa{0x4000})), Error::OutOfMemory));
    EXPECT_TRUE(fails_with(map.remove(Gpa{0x1000}, Gpa{0x2000}), Error::OutOfMemory))
        << "one loader would become two";
    EXPECT_EQ(map.all().size(), LoaderMap::capacity);
    EXPECT_TRUE(succeeds(map.remove(Gpa{0}, Gpa{0x2000})));
}

TEST_F(LoaderMapTest, DoesNotCutAFunctionsPage) {
    const PageLoader function{
        .fill = [](void*, Gpa, std::span<std::byte, page_size>) { return true; }};
    ASSERT_TRUE(succeeds(map.add(Loader::call(Gpa{0x1000}, function))));
    EXPECT_TRUE(fails_with(map.remove(Gpa{0x1800}, Gpa{0x2000}), Error::InvalidArgument));
    EXPECT_TRUE(succeeds(map.remove(Gpa{0x1000}, Gpa{0x2000})));
}

}  // namespace
}  // namespace vmm::test
