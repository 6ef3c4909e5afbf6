// SPDX-License-Identifier: MIT
#include "vmm/svm/consistency.hh"

#include <gtest/gtest.h>

#include <functional>
#include <set>
#include <string>
#include <vector>

#include "vmm/svm/start_state.hh"

namespace vmm::svm {
namespace {

const CpuLimits limits{.asid_count = 16, .physical_bits = 40, .has_long_mode = true};

/// A guest in 64-bit mode with which VMRUN has nothing to quarrel.
Vmcb good() {
    Vmcb vmcb;
    set_controls(vmcb.control, Hpa{0x10'0000}, Hpa{0x20'0000}, Hpa{0x30'0000});
    set_protected_mode(vmcb.save, Gpa{0x20'0000});
    vmcb.control.asid = 1;
    vmcb.save.efer = 0x1d01;      // SVME, NXE, LMA, LME, SCE
    vmcb.save.cr0 = 0x8001'0033;  // PG, WP, NE, ET, MP, PE
    vmcb.save.cr4 = 0x620;        // OSXMMEXCPT, OSFXSR, PAE
    vmcb.save.cr3 = 0x1000;
    vmcb.save.cs.attributes = segment::code | segment::long_mode | segment::granularity;
    return vmcb;
}

/// One way to break one rule.
struct Case {
    const char* name;
    const char* field;
    const char* words;  ///< part of the rule's text
    std::uint64_t value;
    std::function<void(Vmcb&, CpuLimits&)> break_it;
};

void PrintTo(const Case& broken, std::ostream* out) {
    *out << broken.name;
}

class SvmConsistency : public testing::TestWithParam<Case> {};

TEST_P(SvmConsistency, NamesFieldRuleAndValue) {
    const Case& broken = GetParam();
    Vmcb vmcb = good();
    CpuLimits cpu = limits;
    broken.break_it(vmcb, cpu);
    const auto found = find_broken_rule(vmcb, cpu);
    ASSERT_TRUE(found.has_value()) << "nothing was found";
    EXPECT_STREQ(found->field, broken.field);
    EXPECT_NE(std::string{found->rule}.find(broken.words), std::string::npos) << found->rule;
    EXPECT_EQ(found->value, broken.value);
}

constexpr std::uint64_t high = 1ULL << 32;

INSTANTIATE_TEST_SUITE_P(
    Rules, SvmConsistency,
    testing::Values(
        Case{"NoSvme", "EFER", "SVME", 0xd01, [](Vmcb& v, CpuLimits&) { v.save.efer = 0xd01; }},
        Case{"NwWithoutCd", "CR0", "NW", 0xa001'0033,
             [](Vmcb& v, CpuLimits&) { v.save.cr0 |= 1U << 29; }},
        Case{"Cr0High", "CR0", "63:32", high | 0x8001'0033,
             [](Vmcb& v, CpuLimits&) { v.save.cr0 |= high; }},
        Case{"Cr3Beyond", "CR3", "physical", 1ULL << 40,
             [](Vmcb& v, CpuLimits&) { v.save.cr3 = 1ULL << 40; }},
        Case{"Cr4High", "CR4", "63:32", high | 0x620,
             [](Vmcb& v, CpuLimits&) { v.save.cr4 |= high; }},
        Case{"Cr4Reserved", "CR4", "reserved", 0x620 | 1 << 15,
             [](Vmcb& v, CpuLimits&) { v.save.cr4 |= 1 << 15; }},
        Case{"CetWithoutWp", "CR4", "CET", 0x620 | 1 << 23,
             [](Vmcb& v, CpuLimits&) {
                 v.save.cr4 |= 1 << 23;
                 v.save.cr0 &= ~(1ULL << 16);
             }},
        Case{"Dr6High", "DR6", "63:32", high, [](Vmcb& v, CpuLimits&) { v.save.dr6 = high; }},
        Case{"Dr7High", "DR7", "63:32", high, [](Vmcb& v, CpuLimits&) { v.save.dr7 = high; }},
        Case{"EferReserved", "EFER", "reserved", 0x1d03,
             [](Vmcb& v, CpuLimits&) { v.save.efer |= 2; }},
        Case{"NoLongMode", "EFER", "without long mode", 0x1d01,
             [](Vmcb&, CpuLimits& cpu) { cpu.has_long_mode = false; }},
        Case{"LongModeWithoutPae", "CR4", "PAE", 0x600,
             [](Vmcb& v, CpuLimits&) { v.save.cr4 = 0x600; }},
        Case{"LongModeWithoutPe", "CR0", "PE", 0x8001'0032,
             [](Vmcb& v, CpuLimits&) { v.save.cr0 &= ~1ULL; }},
        Case{"CodeBothLongAnd32", "CS attributes", "CS.L and CS.D", 0xe9b,
             [](Vmcb& v, CpuLimits&) { v.save.cs.attributes |= segment::size_32; }},
        Case{"VmrunNotIntercepted", "intercepts at 0x010", "VMRUN", 0x3000,
             [](Vmcb& v, CpuLimits&) { v.control.intercept2 = 0x3000; }},
        Case{"IoMapBeyond", "IOPM_BASE_PA", "physical memory", (1ULL << 40) - 0x2000,
             [](Vmcb& v, CpuLimits&) { v.control.iopm_base = (1ULL << 40) - 0x2000; }},
        Case{"MsrMapBeyond", "MSRPM_BASE_PA", "physical memory", (1ULL << 40) - 0x1000,
             [](Vmcb& v, CpuLimits&) { v.control.msrpm_base = (1ULL << 40) - 0x1000; }},
        Case{"EventReservedType", "EVENTINJ", "type", 0x8000'0120,
             [](Vmcb& v, CpuLimits&) { v.control.event_injection = 0x8000'0120; }},
        Case{"EventReservedType5", "EVENTINJ", "type", 0x8000'0520,
             [](Vmcb& v, CpuLimits&) { v.control.event_injection = 0x8000'0520; }},
        Case{"ExceptionAbove31", "EVENTINJ", "below 32", 0x8000'0320,
             [](Vmcb& v, CpuLimits&) { v.control.event_injection = 0x8000'0320; }},
        Case{"ExceptionNmi", "EVENTINJ", "vector 2", 0x8000'0302,
             [](Vmcb& v, CpuLimits&) { v.control.event_injection = 0x8000'0302; }},
        Case{"BoundIn64Bit", "EVENTINJ", "64-bit", 0x8000'0305,
             [](Vmcb& v, CpuLimits&) { v.control.event_injection = 0x8000'0305; }},
        Case{"AsidZero", "ASID", "zero", 0, [](Vmcb& v, CpuLimits&) { v.control.asid = 0; }},
        Case{"AsidTooHigh", "ASID", "8000_000A", 16,
             [](Vmcb& v, CpuLimits&) { v.control.asid = 16; }},
        Case{"CetReserved", "S_CET", "9:6", 0x40,
             [](Vmcb& v, CpuLimits&) {
                 v.save.cr4 |= 1 << 23;
                 v.save.s_cet = 0x40;
             }},
        Case{"NestedRootBeyond", "N_CR3", "physical", 1ULL << 40,
             [](Vmcb& v, CpuLimits&) { v.control.n_cr3 = 1ULL << 40; }},
        Case{"PatType", "G_PAT", "memory type", 0x0007'0406'0207'0406,
             [](Vmcb& v, CpuLimits&) { v.save.g_pat = 0x0007'0406'0207'0406; }}),
    [](const auto& chosen) { return chosen.param.name; });

TEST(SvmConsistencyRules, AGoodVmcbBreaksNone) {
    EXPECT_FALSE(find_broken_rule(good(), limits).has_value());
    Vmcb vmcb = good();
    set_protected_mode(vmcb.save, Gpa{0x20'0000});
    EXPECT_FALSE(find_broken_rule(vmcb, limits).has_value());
    set_real_mode(vmcb.save, 8);
    EXPECT_FALSE(find_broken_rule(vmcb, limits).has_value());
}

TEST(SvmConsistencyRules, WhatVmrunAllowsIsNoFailure) {
    Vmcb vmcb = good();
    vmcb.control.event_injection = 0x0000'0120;  // not valid, so not looked at
    EXPECT_FALSE(find_broken_rule(vmcb, limits).has_value());
    vmcb.control.event_injection = 0x8000'0030;  // interrupt 0x30
    EXPECT_FALSE(find_broken_rule(vmcb, limits).has_value());
    vmcb.control.event_injection = 0x8000'0b0d;  // #GP with an error code
    EXPECT_FALSE(find_broken_rule(vmcb, limits).has_value());
    vmcb.save.efer &= ~0x500ULL;  // paged real mode exists only here [amd/vol2 15.19]
    vmcb.save.cr0 &= ~1ULL;
    EXPECT_FALSE(find_broken_rule(vmcb, limits).has_value());
}

TEST(SvmConsistencyRules, AtLeastTwentyAndEachWithItsOwnWords) {
    std::set<std::string> texts;
    for (const ConsistencyRule& rule : consistency_rules()) texts.insert(rule.rule);
    EXPECT_GE(texts.size(), 20U);
    EXPECT_EQ(texts.size(), consistency_rules().size());
}

}  // namespace
}  // namespace vmm::svm
