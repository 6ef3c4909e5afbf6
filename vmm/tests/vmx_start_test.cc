// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include <array>
#include <cstddef>

#include "vmm/backend.hh"
#include "vmm/tests/support/fake_vmcs.hh"
#include "vmm/vmx/permission_map.hh"

namespace vmm::vmx {
namespace {

/// What the CPU finds in the map [intel/vol3c 25.6.9].
bool is_intercepted(std::span<const std::byte, msr_map_size> map, std::uint32_t msr, bool write) {
    const std::uint32_t range = msr & ~0x1fffU;
    if (range != 0 && range != 0xc000'0000) return true;
    const std::size_t first = (range == 0 ? 0 : 0x400) + (write ? 0x800 : 0);
    const std::uint32_t index = msr & 0x1fff;
    return (map[first + index / 8] >> (index % 8) & std::byte{1}) != std::byte{};
}

TEST(VmxPermissionMap, EveryPortIsIntercepted) {
    std::array<std::byte, io_map_size> map{};
    fill_io_map(map);
    for (std::size_t port = 0; port < 65536; ++port)
        ASSERT_NE(map[port / 8] & (std::byte{1} << (port % 8)), std::byte{}) << port;
}

TEST(VmxPermissionMap, OnlyMsrsThatAreSwitchedAreLeftToTheGuest) {
    std::array<std::byte, msr_map_size> map{};
    ASSERT_TRUE(fill_msr_map(map));
    for (const std::uint32_t msr :
         {0x174U, 0x175U, 0x176U, 0xc000'0081U, 0xc000'0082U, 0xc000'0083U, 0xc000'0084U,
          0xc000'0100U, 0xc000'0101U, 0xc000'0102U}) {
        EXPECT_FALSE(is_intercepted(map, msr, false)) << std::hex << msr;
        EXPECT_FALSE(is_intercepted(map, msr, true)) << std::hex << msr;
    }
    for (const std::uint32_t msr :
         {0x10U, 0x1bU, 0x3aU, 0x173U, 0x177U, 0x277U, 0x480U, 0x802U, 0x1fffU, 0x2000U,
          0xc000'0080U, 0xc000'0085U, 0xc000'0103U, 0xc000'2000U, 0xc001'0117U, 0xffff'ffffU}) {
        EXPECT_TRUE(is_intercepted(map, msr, false)) << std::hex << msr;
        EXPECT_TRUE(is_intercepted(map, msr, true)) << std::hex << msr;
    }
    // By hand, after [intel/vol3c 25.6.9]: reads of the low and the high MSRs, then writes of both.
    EXPECT_EQ(map[0x174 / 8], std::byte{0b1000'1111});
    EXPECT_EQ(map[2048 + 0x174 / 8], std::byte{0b1000'1111});
    EXPECT_EQ(map[1024 + 0x80 / 8], std::byte{0b1110'0001});
    EXPECT_EQ(map[3072 + 0x80 / 8], std::byte{0b1110'0001});
}

// What is on neither list would be the host's own value in the guest's hands.
TEST(VmxPermissionMap, WhatTheGuestMayHaveIsInTheVmcsOrOnTheListOfTheHost) {
    std::array<std::byte, msr_map_size> map{};
    ASSERT_TRUE(fill_msr_map(map));
    std::size_t allowed = 0;
    for (std::uint32_t index = 0; index < 0x2000; ++index)
        for (const std::uint32_t first : {0U, 0xc000'0000U})
            allowed += is_intercepted(map, first + index, false) ? 0 : 1;
    EXPECT_EQ(allowed, 5 + host_switched_msrs.size());
    for (const std::uint32_t msr : host_switched_msrs) EXPECT_FALSE(is_intercepted(map, msr, true));
}

TEST(VmxStart, ProtectedModeIsWhatMultiboot2Wants) {
    const FakeVmcs vmcs = good_vmcs();
    EXPECT_EQ(vmcs.read(Field::guest_rip), 0x20'0000U);
    EXPECT_EQ(vmcs.read(Field::guest_cs_access_rights), 0xc09bU) << "flat 32-bit code";
    EXPECT_EQ(vmcs.read(Field::guest_ds_access_rights), 0xc093U) << "flat 32-bit data";
    EXPECT_EQ(vmcs.read(Field::guest_ss_limit), 0xffff'ffffU);
    EXPECT_EQ(vmcs.read(Field::guest_gs_base), 0U);
    EXPECT_EQ(vmcs.read(Field::guest_rflags), 2U) << "interrupts off";
    EXPECT_EQ(vmcs.read(Field::guest_efer), 0U);
    EXPECT_EQ(vmcs.read(Field::entry_controls) & entry_control::ia32e_mode_guest, 0U);
    const SystemRegisters seen = read_system_registers(vmcs, 0);
    EXPECT_EQ(seen.cr0, 0x11U) << "PE, ET: the guest does not see NE";
    EXPECT_EQ(seen.cr4, 0U) << "the guest does not see VMXE";
    EXPECT_EQ(vmcs.read(Field::guest_cr0), 0x31U) << "VMX operation wants NE";
    EXPECT_EQ(vmcs.read(Field::guest_cr4), 0x2000U) << "VMX operation wants VMXE";
}

TEST(VmxStart, RealModeStartsAtTheStartupVector) {
    FakeVmcs vmcs = good_vmcs();
    set_real_mode(vmcs, 0x08);
    EXPECT_EQ(vmcs.read(Field::guest_cs_base) + vmcs.read(Field::guest_rip), 0x8000U);
    EXPECT_EQ(vmcs.read(Field::guest_cs_selector), 0x800U);
    EXPECT_EQ(vmcs.read(Field::guest_cs_limit), 0xffffU);
    EXPECT_EQ(vmcs.read(Field::guest_cs_access_rights), 0x9bU);
    EXPECT_EQ(vmcs.read(Field::guest_cr0), 0x30U) << "neither PE nor the host's CD and NW";
    EXPECT_EQ(read_system_registers(vmcs, 0).cr0, 0x6000'0010U) << "as after INIT";
    EXPECT_FALSE(find_broken_rule(vmcs, haswell()).has_value());
}

TEST(VmxStart, AStartLeavesNothingOfTheLifeBefore) {
    FakeVmcs vmcs = good_64_bit_vmcs();
    vmcs.write(Field::guest_interruptibility_state, 8);
    vmcs.write(Field::guest_activity_state, 1);
    vmcs.write(Field::entry_interruption_information, 0x8000'0030);
    vmcs.write(Field::guest_rflags, 0x202);
    vmcs.write(Field::guest_pending_debug_exceptions, 1 << 14);
    vmcs.write(Field::guest_tr_access_rights, 0x1'0000);
    set_real_mode(vmcs, 1);
    EXPECT_EQ(vmcs.read(Field::entry_controls) & entry_control::ia32e_mode_guest, 0U);
    EXPECT_EQ(vmcs.read(Field::guest_efer), 0U);
    EXPECT_EQ(vmcs.read(Field::guest_cr4), 0x2000U);
    EXPECT_EQ(vmcs.read(Field::guest_interruptibility_state), 0U);
    EXPECT_EQ(vmcs.read(Field::guest_activity_state), 0U);
    EXPECT_EQ(vmcs.read(Field::entry_interruption_information), 0U);
    EXPECT_FALSE(find_broken_rule(vmcs, haswell()).has_value());
}

TEST(VmxStart, ControlsPointToWhatTheyAreGiven) {
    const FakeVmcs vmcs = good_vmcs();
    EXPECT_EQ(vmcs.read(Field::ept_pointer), 0x10'001eU) << "write-back, four levels, no A and D";
    EXPECT_EQ(vmcs.read(Field::io_bitmap_a), 0x20'0000U);
    EXPECT_EQ(vmcs.read(Field::io_bitmap_b), 0x20'1000U);
    EXPECT_EQ(vmcs.read(Field::msr_bitmaps), 0x30'0000U);
    EXPECT_EQ(vmcs.read(Field::virtual_apic_address), 0x40'0000U);
    EXPECT_EQ(vmcs.read(Field::vmcs_link_pointer), ~0ULL);
    EXPECT_EQ(vmcs.read(Field::exception_bitmap), 1U << 1 | 1U << 17) << "#DB and #AC";
    EXPECT_EQ(vmcs.read(Field::cr4_guest_host_mask), 1U << 13);
}

TEST(VmxStart, TheHostIsWrittenAsItIs) {
    const FakeVmcs vmcs = good_vmcs();
    const HostState host = good_host();
    EXPECT_EQ(vmcs.read(Field::host_cr0), host.cr0);
    EXPECT_EQ(vmcs.read(Field::host_cr3), host.cr3);
    EXPECT_EQ(vmcs.read(Field::host_cr4), host.cr4);
    EXPECT_EQ(vmcs.read(Field::host_tr_selector), host.tr);
    EXPECT_EQ(vmcs.read(Field::host_cs_selector), host.cs);
    EXPECT_EQ(vmcs.read(Field::host_gs_base), host.gs_base);
    EXPECT_EQ(vmcs.read(Field::host_tr_base), host.tr_base);
    EXPECT_EQ(vmcs.read(Field::host_gdtr_base), host.gdtr_base);
    EXPECT_EQ(vmcs.read(Field::host_idtr_base), host.idtr_base);
    EXPECT_EQ(vmcs.read(Field::host_efer), host.efer);
    EXPECT_EQ(vmcs.read(Field::host_pat), host.pat);
    EXPECT_EQ(vmcs.read(Field::host_rip), host.rip);
    EXPECT_FALSE(vmcs.knows(Field::host_rsp)) << "that is the world switch's";
}

// Unwritten fields hold ones here, and each rule reads what it needs: so nothing that a rule looks
// at was forgotten.
TEST(VmxStart, NothingIsForgotten) {
    EXPECT_FALSE(find_broken_rule(good_vmcs(), haswell()).has_value());
    EXPECT_FALSE(find_broken_rule(good_64_bit_vmcs(), haswell()).has_value());
}

}  // namespace
}  // namespace vmm::vmx
