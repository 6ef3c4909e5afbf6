// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include "vmm/paging/entry_format.hh"

namespace vmm {
namespace {

constexpr Hpa page{0x12'3456'7000};
constexpr Hpa large_page{0x12'3460'0000};

// The expected numbers are written down from the manuals, bit by bit.

TEST(NptEntryTest, LeavesHaveTheBitsOfTheManual) {
    EXPECT_EQ(npt_format.leaf(page, read_write_execute, 1), 0x12'3456'7007U);  // P, RW, US
    EXPECT_EQ(npt_format.leaf(page, read_execute, 1), 0x12'3456'7005U);
    EXPECT_EQ(npt_format.leaf(page, read_only, 1), 0x8000'0012'3456'7005U);          // NX
    EXPECT_EQ(npt_format.leaf(large_page, read_write_execute, 2), 0x12'3460'0087U);  // PS
}

TEST(EptEntryTest, LeavesHaveTheBitsOfTheManual) {
    EXPECT_EQ(ept_format.leaf(page, read_write_execute, 1), 0x12'3456'7037U);  // R, W, X, WB
    EXPECT_EQ(ept_format.leaf(page, read_execute, 1), 0x12'3456'7035U);
    EXPECT_EQ(ept_format.leaf(page, read_only, 1), 0x12'3456'7031U);
    EXPECT_EQ(ept_format.leaf(large_page, read_write_execute, 2), 0x12'3460'00b7U);
}

TEST(EntryFormatTest, TablesGrantEverything) {
    EXPECT_EQ(npt_format.table(page), 0x12'3456'7007U);
    EXPECT_EQ(ept_format.table(page), 0x12'3456'7007U);
}

TEST(EntryFormatTest, ZeroIsNotPresent) {
    for (const auto* format : {&npt_format, &ept_format})
        for (Level level = 1; level <= root_level; ++level)
            EXPECT_FALSE(format->decode(0, level).present) << format->name << " level " << level;
}

TEST(EntryFormatTest, DecodingGivesBackWhatWasEncoded) {
    for (const auto* format : {&npt_format, &ept_format})
        for (const auto permission : {read_write_execute, read_execute, read_only})
            for (const Level level : {1U, 2U}) {
                const Hpa at = level == 1 ? page : large_page;
                const auto decoded = format->decode(format->leaf(at, permission, level), level);
                EXPECT_TRUE(decoded.present && decoded.leaf) << format->name;
                EXPECT_EQ(decoded.address, at) << format->name;
                EXPECT_EQ(decoded.permission, permission) << format->name;
            }
    for (const auto* format : {&npt_format, &ept_format})
        for (const Level level : {2U, 3U, 4U}) {
            const auto decoded = format->decode(format->table(page), level);
            EXPECT_TRUE(decoded.present && !decoded.leaf) << format->name;
            EXPECT_EQ(decoded.address, page) << format->name;
        }
}

TEST(EntryFormatTest, AnotherPermissionLeavesAccessedAndDirtyAlone) {
    constexpr std::uint64_t npt_accessed_dirty = 0x60;
    constexpr std::uint64_t ept_accessed_dirty = 0x300;
    const std::uint64_t npt = npt_format.leaf(page, read_write_execute, 1) | npt_accessed_dirty;
    EXPECT_EQ(npt_format.with_permission(npt, read_only),
              npt_format.leaf(page, read_only, 1) | npt_accessed_dirty);
    const std::uint64_t ept = ept_format.leaf(page, read_only, 1) | ept_accessed_dirty;
    EXPECT_EQ(ept_format.with_permission(ept, read_write_execute),
              ept_format.leaf(page, read_write_execute, 1) | ept_accessed_dirty);
}

}  // namespace
}  // namespace vmm
