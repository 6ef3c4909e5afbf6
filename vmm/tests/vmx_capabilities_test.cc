// SPDX-License-Identifier: MIT
#include "vmm/vmx/capabilities.hh"

#include <gtest/gtest.h>

#include <string>

#include "kern/arch/host/fake.hh"
#include "vmm/tests/support/fake_vmcs.hh"

namespace vmm::vmx {
namespace {

namespace fake = kern::arch::fake;

constexpr std::uint64_t msr_of(ControlCapability control) {
    return std::uint64_t{control.may_be_one} << 32 | control.must_be_one;
}

/// The MSRs of a CPU without the TRUE ones, whose controls have more fixed bits.
class VmxCapabilities : public testing::Test {
   protected:
    void SetUp() override {
        fake::reset();
        fake::set_msr(capability_msr::basic,
                      0x005a'0400'8000'0012);  // bit 31 is no part of the revision
        fake::set_msr(capability_msr::miscellaneous, 0x3004'81f5);
        fake::set_msr(capability_msr::pin_based, msr_of({0x16, 0x7f}));
        fake::set_msr(capability_msr::primary, msr_of({0x0401'e172, 0xfff9'fffe}));
        fake::set_msr(capability_msr::exit, msr_of({0x0003'6dff, 0x007f'ffff}));
        fake::set_msr(capability_msr::entry, msr_of({0x11ff, 0xffff}));
        fake::set_msr(capability_msr::cr0_fixed0, 0x8000'0021);
        fake::set_msr(capability_msr::cr0_fixed1, 0xffff'ffff);
        fake::set_msr(capability_msr::cr4_fixed0, 0x2000);
        fake::set_msr(capability_msr::cr4_fixed1, 0x1727ff);
        fake::set_msr(capability_msr::secondary, msr_of({0, 0x7cff}));
        fake::set_msr(capability_msr::ept_vpid, 0xf01'0633'4141);
    }
    static void add_true_controls() {
        fake::set_msr(capability_msr::basic, 0x00da'0400'0000'0012);
        fake::set_msr(capability_msr::true_pin_based, msr_of({0x16, 0x7f}));
        fake::set_msr(capability_msr::true_primary, msr_of({0x0400'6172, 0xfff9'fffe}));
        fake::set_msr(capability_msr::true_exit, msr_of({0x0003'6dfb, 0x007f'ffff}));
        fake::set_msr(capability_msr::true_entry, msr_of({0x11fb, 0xffff}));
    }
};

TEST_F(VmxCapabilities, AreWhatTheMsrsSay) {
    const Capabilities found = read_capabilities();
    EXPECT_EQ(found.revision, 0x12U);
    EXPECT_EQ(found.pin.must_be_one, 0x16U);
    EXPECT_EQ(found.pin.may_be_one, 0x7fU);
    EXPECT_EQ(found.secondary.may_be_one, 0x7cffU);
    EXPECT_EQ(found.preemption_timer_shift, 0x15U);
    EXPECT_EQ(found.activity_states, 0x1c0U);
    EXPECT_EQ(found.cr0_fixed0, 0x8000'0021U);
    EXPECT_EQ(found.cr4_fixed1, 0x1727ffU);
    EXPECT_EQ(found.ept_vpid, 0xf01'0633'4141U);
}

TEST_F(VmxCapabilities, TheTrueMsrsCountWhereTheyAre) {
    EXPECT_EQ(read_capabilities().primary.must_be_one, 0x0401'e172U);
    add_true_controls();
    const Capabilities found = read_capabilities();
    EXPECT_EQ(found.primary.must_be_one, 0x0400'6172U);
    EXPECT_EQ(found.exit.must_be_one, 0x0003'6dfbU);
    EXPECT_EQ(found.entry.must_be_one, 0x11fbU);
}

// The fake machine panics if an MSR is read that does not exist.
TEST_F(VmxCapabilities, AnOldCpuIsNotAskedForMsrsItDoesNotHave) {
    fake::reset();
    SetUp();
    fake::set_msr(capability_msr::primary,
                  msr_of({0x0401'e172, 0x7ff9'fffe}));  // no secondary controls
    fake::set_msr(capability_msr::secondary, ~0ULL);
    fake::set_msr(capability_msr::ept_vpid, ~0ULL);
    const Capabilities without = read_capabilities();
    EXPECT_EQ(without.secondary.may_be_one, 0U);
    EXPECT_EQ(without.ept_vpid, 0U);
    fake::set_msr(capability_msr::primary, msr_of({0x0401'e172, 0xfff9'fffe}));
    fake::set_msr(capability_msr::secondary, msr_of({0, 1}));  // neither EPT nor VPIDs
    EXPECT_EQ(read_capabilities().ept_vpid, 0U);
}

TEST_F(VmxCapabilities, AGoodCpuIsAvailable) {
    add_true_controls();
    fake::set_cpuid(1, 0, {.ecx = 1 << 5});
    for (const std::uint64_t control : {0U, 4U, 5U}) {  // not locked: enabled when it is needed
        fake::set_msr(msr::feature_control, control);
        EXPECT_EQ(why_unavailable(), nullptr) << control;
    }
}

TEST_F(VmxCapabilities, WhatIsMissingIsTold) {
    fake::set_cpuid(1, 0, {.ecx = 1 << 5});
    fake::set_msr(msr::feature_control, 5);
    EXPECT_NE(std::string{why_unavailable()}.find("CR3"), std::string::npos) << "no TRUE controls";
    fake::set_msr(msr::feature_control, 1);
    EXPECT_NE(std::string{why_unavailable()}.find("firmware"), std::string::npos);
}

// The MSRs are not there: reading one would be a #GP, and here a panic.
TEST_F(VmxCapabilities, ACpuWithoutVmxIsAskedForNothing) {
    fake::reset();
    EXPECT_NE(std::string{why_unavailable()}.find("no VMX"), std::string::npos);
}

TEST(VmxControls, AreAllowedAndHoldWhatTheHostDependsOn) {
    const Capabilities cpu = haswell().capabilities;
    const auto found = compute_controls(cpu);
    ASSERT_TRUE(found.has_value()) << found.error();
    EXPECT_TRUE(cpu.pin.allows(found->pin));
    EXPECT_TRUE(cpu.primary.allows(found->primary));
    EXPECT_TRUE(cpu.secondary.allows(found->secondary));
    EXPECT_TRUE(cpu.exit.allows(found->exit));
    EXPECT_TRUE(cpu.entry.allows(found->entry));
    EXPECT_EQ(found->pin & 1, 1U) << "else the guest takes our timer";
    EXPECT_EQ(found->pin >> 6 & 1, 1U) << "else a guest without interrupts has the CPU for ever";
    EXPECT_EQ(found->primary & (1U << 15 | 1U << 16), 0U) << "MOV CR3 is the guest's own affair";
    EXPECT_EQ(found->secondary & 0xa2U, 0xa2U) << "EPT, VPID, unrestricted guest";
    EXPECT_EQ(found->exit >> 9 & 1, 1U) << "the host is in 64-bit mode";
    EXPECT_EQ(found->entry >> 9 & 1, 0U) << "the guest begins outside of IA-32e mode";
    EXPECT_EQ(found->entry & 1U << 15, 1U << 15) << "load EFER";
}

TEST(VmxControls, TakeWhatTheCpuInsistsOn) {
    Capabilities cpu = haswell().capabilities;
    cpu.pin.must_be_one |= 1U << 1;
    cpu.secondary.must_be_one |= 1U << 3;
    const auto found = compute_controls(cpu);
    ASSERT_TRUE(found.has_value());
    EXPECT_NE(found->pin & 1U << 1, 0U);
    EXPECT_NE(found->secondary & 1U << 3, 0U);
}

/// Why a CPU without these bits of one word will not do.
std::string without(ControlCapability Capabilities::* word, std::uint32_t bits) {
    Capabilities cpu = haswell().capabilities;
    (cpu.*word).may_be_one &= ~bits;
    (cpu.*word).must_be_one &= ~bits;
    const auto found = compute_controls(cpu);
    return found ? "nothing is missing" : found.error();
}

TEST(VmxControls, SayWhatTheCpuLacks) {
    const auto has = [](const std::string& text, const char* word) {
        EXPECT_NE(text.find(word), std::string::npos) << word << " is not in: " << text;
    };
    has(without(&Capabilities::pin, 1U << 0), "interrupts");
    has(without(&Capabilities::pin, 1U << 3), "NMI");
    has(without(&Capabilities::pin, 1U << 5), "NMI");
    has(without(&Capabilities::pin, 1U << 6), "preemption timer");
    has(without(&Capabilities::primary, 1U << 31), "secondary controls");
    for (const unsigned bit : {7U, 10U, 11U, 29U})
        has(without(&Capabilities::primary, 1U << bit), "HLT");
    has(without(&Capabilities::primary, 1U << 21), "TPR shadow");
    for (const unsigned bit : {25U, 28U})
        has(without(&Capabilities::primary, 1U << bit), "bitmaps");
    for (const unsigned bit : {2U, 22U})
        has(without(&Capabilities::primary, 1U << bit), "interrupt window");
    has(without(&Capabilities::secondary, 1U << 1), "no EPT");
    has(without(&Capabilities::secondary, 1U << 5), "VPID");
    has(without(&Capabilities::secondary, 1U << 7), "unrestricted guest");
    has(without(&Capabilities::secondary, 1U << 6), "WBINVD");
    for (const unsigned bit : {2U, 9U}) has(without(&Capabilities::exit, 1U << bit), "64-bit host");
    for (const unsigned bit : {19U, 20U, 21U}) has(without(&Capabilities::exit, 1U << bit), "EFER");
    for (const unsigned bit : {2U, 14U, 15U}) has(without(&Capabilities::entry, 1U << bit), "EFER");
    has(without(&Capabilities::entry, 1U << 9), "64-bit guest");
}

TEST(VmxControls, SayWhatEptLacks) {
    for (const unsigned bit : {6U, 14U, 16U, 20U, 25U, 26U, 32U, 42U}) {
        Capabilities cpu = haswell().capabilities;
        cpu.ept_vpid &= ~(1ULL << bit);
        EXPECT_FALSE(compute_controls(cpu).has_value()) << "bit " << bit;
    }
    Capabilities cpu = haswell().capabilities;
    cpu.ept_vpid &= ~(1ULL << 21);
    EXPECT_TRUE(compute_controls(cpu).has_value()) << "accessed and dirty flags are not used";
}

TEST(VmxControls, RefuseACpuWhoseFixedControlsWouldExitWhereNobodyListens) {
    for (const unsigned bit : {2U, 15U, 16U, 22U}) {
        Capabilities cpu = haswell().capabilities;
        cpu.primary.must_be_one |= 1U << bit;
        EXPECT_FALSE(compute_controls(cpu).has_value()) << "bit " << bit;
    }
    Capabilities cpu = haswell().capabilities;
    cpu.entry.must_be_one |= 1U << 9;
    EXPECT_FALSE(compute_controls(cpu).has_value()) << "IA-32e mode guest";
}

}  // namespace
}  // namespace vmm::vmx
