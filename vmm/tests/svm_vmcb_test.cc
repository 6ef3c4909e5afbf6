// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include <array>
#include <cstddef>

#include "vmm/backend.hh"
#include "vmm/svm/permission_map.hh"
#include "vmm/svm/start_state.hh"

namespace vmm::svm {
namespace {

/// What the CPU finds in the map [amd/vol2 15.11].
bool is_intercepted(std::span<const std::byte, msr_map_size> map, std::uint32_t msr, bool write) {
    const std::uint32_t range = msr & ~0x1fffU;
    if (range != 0 && range != 0xc000'0000 && range != 0xc001'0000) return true;
    const std::size_t first = range == 0 ? 0 : range == 0xc000'0000 ? 0x800 : 0x1000;
    const std::uint32_t index = msr & 0x1fff;
    return (map[first + index / 4] >> (2 * (index % 4) + (write ? 1 : 0)) & std::byte{1}) !=
           std::byte{};
}

TEST(SvmPermissionMap, EveryPortIsIntercepted) {
    std::array<std::byte, io_map_size> map{};
    fill_io_map(map);
    for (std::size_t port = 0; port < 65536; ++port)
        ASSERT_NE(map[port / 8] & (std::byte{1} << (port % 8)), std::byte{}) << port;
    EXPECT_NE(map[8192], std::byte{}) << "a 4-byte access at port 0xffff looks at the next bits";
}

TEST(SvmPermissionMap, OnlyMsrsOfVmsaveAreLeftToTheGuest) {
    std::array<std::byte, msr_map_size> map{};
    ASSERT_TRUE(fill_msr_map(map));
    for (const std::uint32_t msr :
         {0x174U, 0x175U, 0x176U, 0xc000'0081U, 0xc000'0082U, 0xc000'0083U, 0xc000'0084U,
          0xc000'0100U, 0xc000'0101U, 0xc000'0102U}) {
        EXPECT_FALSE(is_intercepted(map, msr, false)) << std::hex << msr;
        EXPECT_FALSE(is_intercepted(map, msr, true)) << std::hex << msr;
    }
    for (const std::uint32_t msr :
         {0x10U, 0x1bU, 0x173U, 0x177U, 0x277U, 0x802U, 0x1fffU, 0x2000U, 0xc000'0080U,
          0xc000'0085U, 0xc000'0103U, 0xc001'0114U, 0xc001'0117U, 0xffff'ffffU}) {
        EXPECT_TRUE(is_intercepted(map, msr, false)) << std::hex << msr;
        EXPECT_TRUE(is_intercepted(map, msr, true)) << std::hex << msr;
    }
    // By hand, after [amd/vol2 15.11]: EFER is MSR 0x80 of the second range, two bits each.
    EXPECT_EQ(map[0x800 + 0x80 / 4], std::byte{0b0000'0011});
}

TEST(SvmStart, ProtectedModeIsWhatMultiboot2Wants) {
    SaveArea save;
    set_protected_mode(save, Gpa{0x20'1000});
    EXPECT_EQ(save.rip, 0x20'1000U);
    EXPECT_EQ(save.cr0 & 1, 1U) << "PE";
    EXPECT_EQ(save.cr0 >> 31, 0U) << "PG";
    EXPECT_EQ(save.cs.attributes, 0xc9b) << "flat 32-bit code";
    EXPECT_EQ(save.ds.attributes, 0xc93) << "flat 32-bit data";
    EXPECT_EQ(save.ss.limit, 0xffff'ffffU);
    EXPECT_EQ(save.rflags, 2U) << "interrupts off";
    EXPECT_EQ(save.efer, 0x1000U) << "SVME alone";
}

TEST(SvmStart, RealModeStartsAtTheStartupVector) {
    SaveArea save;
    set_real_mode(save, 0x08);
    EXPECT_EQ(save.cs.base + save.rip, 0x8000U);
    EXPECT_EQ(save.cs.selector, 0x800);
    EXPECT_EQ(save.cr0 & 1, 0U) << "PE";
    EXPECT_EQ(save.cs.limit, 0xffffU);
}

TEST(SvmStart, ControlsInterceptWhatTheHostDependsOn) {
    ControlArea control;
    set_controls(control, Hpa{0x1000}, Hpa{0x2000}, Hpa{0x5000});
    EXPECT_NE(control.intercept1 & intercept1::interrupt, 0U) << "else the guest takes our timer";
    EXPECT_NE(control.intercept1 & intercept1::shutdown, 0U) << "else it resets the machine";
    EXPECT_NE(control.virtual_interrupt & virtual_interrupt::masking, 0U);
    EXPECT_NE(control.intercept2 & intercept2::vmrun, 0U);
    EXPECT_EQ(control.n_cr3, 0x1000U);
    EXPECT_EQ(control.nested_paging, 1U);
}

}  // namespace
}  // namespace vmm::svm
