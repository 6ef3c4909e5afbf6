// SPDX-License-Identifier: MIT
#include "vmm/exits/guest_cpuid.hh"

#include <gtest/gtest.h>

#include <cstring>
#include <string>

#include "kern/arch/host/fake.hh"

namespace vmm {
namespace {

namespace fake = kern::arch::fake;

class Cpuid : public testing::Test {
   protected:
    void SetUp() override {
        fake::reset();
        // A host that has everything.
        for (const std::uint32_t leaf : {0U, 1U, 7U, 0xdU, 0x8000'0000U, 0x8000'0001U, 0x8000'0007U,
                                         0x8000'0008U, 0x8000'000aU})
            fake::set_cpuid(leaf, 0, {.eax = ~0U, .ebx = ~0U, .ecx = ~0U, .edx = ~0U});
    }
    kern::arch::CpuidResult ask(std::uint32_t leaf, std::uint32_t subleaf = 0,
                                bool has_x2apic = true) {
        Registers registers{.rax = leaf, .rcx = subleaf};
        guest_cpuid(cpuid_policy(false, has_x2apic),
                    {.vcpu_index = 2, .vcpu_count = 4, .timestamp_khz = 123}, registers);
        const auto low = [](std::uint64_t value) { return static_cast<std::uint32_t>(value); };
        return {low(registers.rax), low(registers.rbx), low(registers.rcx), low(registers.rdx)};
    }
};

TEST_F(Cpuid, HidesVirtualizationAndXsave) {
    EXPECT_EQ(ask(1).ecx & (1U << 26 | 1U << 27 | 1U << 28 | 1U << 5 | 1U << 3), 0U);
    EXPECT_EQ(ask(0x8000'0001).ecx & (1U << 2), 0U) << "SVM";
    EXPECT_EQ(ask(0x8000'000a).eax | ask(0x8000'000a).ebx | ask(0x8000'000a).edx, 0U);
    EXPECT_EQ(ask(0xd).eax | ask(0xd).ecx, 0U);
    EXPECT_EQ(ask(7).ebx & (1U << 5), 0U) << "AVX2 needs XSAVE";
    EXPECT_EQ(ask(0x8000'0001).edx & (1U << 27), 0U) << "RDTSCP";
    EXPECT_EQ(ask(0).eax, 0xbU);
    EXPECT_EQ(ask(0x8000'0000).eax, 0x8000'0008U);
}

TEST_F(Cpuid, HasWhatAKernelNeeds) {
    EXPECT_NE(ask(1).ecx & (1U << 21), 0U) << "x2APIC";
    EXPECT_NE(ask(1).ecx & (1U << 31), 0U) << "hypervisor";
    EXPECT_NE(ask(1).edx & (1U << 9), 0U) << "APIC";
    EXPECT_NE(ask(0x8000'0001).edx & (1U << 29), 0U) << "long mode";
    EXPECT_NE(ask(0x8000'0001).edx & (1U << 20), 0U) << "NX";
    EXPECT_EQ(ask(0x8000'0008).eax & 0xff, 40U);
}

TEST_F(Cpuid, HidesTheX2apicFromAnXapicGuest) {
    constexpr std::uint32_t x2apic = 1U << 21;
    EXPECT_EQ(ask(1, 0, false).ecx, ask(1).ecx & ~x2apic);
    EXPECT_EQ(ask(1, 0, false).edx, ask(1).edx) << "it has an APIC all the same";
    EXPECT_EQ(ask(7, 0, false).ebx, ask(7).ebx);
}

TEST_F(Cpuid, TellsTheTopology) {
    EXPECT_EQ(ask(1).ebx >> 24, 2U);
    EXPECT_EQ((ask(1).ebx >> 16) & 0xff, 4U);
    EXPECT_EQ(ask(0xb, 0).ecx, 0x100U);
    EXPECT_EQ(ask(0xb, 0).ebx, 1U);
    EXPECT_EQ(ask(0xb, 1).ecx, 0x201U);
    EXPECT_EQ(ask(0xb, 1).eax, 2U);
    EXPECT_EQ(ask(0xb, 1).ebx, 4U);
    EXPECT_EQ(ask(0xb, 2).ebx, 0U);
    EXPECT_EQ(ask(0xb, 2).edx, 2U);
}

TEST_F(Cpuid, SaysWhoTheHostIs) {
    const auto leaf = ask(0x4000'0000);
    std::string signature(12, ' ');
    std::memcpy(signature.data(), &leaf.ebx, 4);
    std::memcpy(signature.data() + 4, &leaf.ecx, 4);
    std::memcpy(signature.data() + 8, &leaf.edx, 4);
    EXPECT_EQ(signature, std::string("NestlingVMM\0", 12));
    EXPECT_EQ(leaf.eax, 0x4000'0001U);
    const auto machine = ask(0x4000'0001);
    EXPECT_EQ(machine.eax, 4U);
    EXPECT_EQ(machine.ebx, 123U);
    EXPECT_EQ(machine.ecx, 1'000'000U);
}

}  // namespace
}  // namespace vmm
