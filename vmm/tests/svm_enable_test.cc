// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include <string>

#include "kern/arch/host/fake.hh"
#include "vmm/svm/svm.hh"

namespace vmm::svm {
namespace {

namespace fake = kern::arch::fake;

/// A CPU as QEMU's `-cpu max` shows it.
class SvmEnable : public testing::Test {
   protected:
    void SetUp() override {
        fake::reset();
        fake::set_cpuid(0x8000'0000, 0, {.eax = 0x8000'000a});
        fake::set_cpuid(0x8000'0001, 0, {.ecx = 1 << 2, .edx = 1 << 29});
        fake::set_cpuid(0x8000'0008, 0, {.eax = 0x3028});
        fake::set_cpuid(0x8000'000a, 0, {.ebx = 16, .edx = 1});
        fake::set_msr(msr::vm_cr, 0);
        fake::set_msr(msr::efer, 0x500);
        fake::set_msr(msr::vm_hsave_pa, 0);
    }
};

TEST_F(SvmEnable, AGoodCpuIsAvailable) {
    EXPECT_EQ(why_unavailable(), nullptr);
}

TEST_F(SvmEnable, SaysWhatIsMissing) {
    fake::set_cpuid(0x8000'000a, 0, {.ebx = 16, .edx = 0});
    EXPECT_NE(std::string{why_unavailable()}.find("no nested paging"), std::string::npos);
    fake::set_cpuid(0x8000'000a, 0, {.ebx = 1, .edx = 1});
    EXPECT_NE(std::string{why_unavailable()}.find("ASID"), std::string::npos);
    fake::set_msr(msr::vm_cr, 1 << 4);
    EXPECT_NE(std::string{why_unavailable()}.find("SVMDIS"), std::string::npos);
    fake::set_cpuid(0x8000'0001, 0, {});
    EXPECT_NE(std::string{why_unavailable()}.find("no SVM"), std::string::npos);
}

TEST_F(SvmEnable, AnOldCpuIsNotAskedForLeavesItDoesNotHave) {
    fake::set_cpuid(0x8000'0000, 0, {.eax = 0x8000'0008});
    EXPECT_NE(std::string{why_unavailable()}.find("no SVM"), std::string::npos);
}

TEST_F(SvmEnable, TurnsSvmOnAndGivesVmrunAPage) {
    ASSERT_TRUE(start());
    ASSERT_TRUE(enable_on_this_cpu());
    EXPECT_EQ(fake::msr(msr::efer), 0x1500U) << "the other bits of EFER stay";
    const auto page = fake::msr(msr::vm_hsave_pa);
    EXPECT_TRUE(page != 0 && page % page_size == 0);
    EXPECT_EQ(cpu_limits().asid_count, 16U);
    EXPECT_EQ(cpu_limits().physical_bits, 0x28U);
}

}  // namespace
}  // namespace vmm::svm
