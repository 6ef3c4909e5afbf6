// SPDX-License-Identifier: MIT
#include "vmm/main/plan.hh"

#include <gtest/gtest.h>

#include <array>
#include <random>
#include <string>

namespace vmm {
namespace {

struct Parsed {
    std::array<VmPlan, 4> machines{};
    std::expected<std::size_t, kern::plan::PlanError> result;
    explicit Parsed(std::string_view text) : result{parse_plan(text, machines)} {}
};

TEST(Plan, EveryKeyArrives) {
    const Parsed plan{
        "# two machines\n\n"
        "vm name=alpha file=gkernel.elf vcpus=4 ram=0x10000 limit=0 keep=1 info=0x9000 "
        "hold=0x204000:until:0x205000 hold_limit=50 fail=0x206000 memory=7 protect=0x300000:rw "
        "protect=0x301000:r mmio=0xfed00000 ports=open apic=xapic args=touch=bss  race=0x1000\n"
        "vm name=b file=f hold=4096:2\r\n"};
    ASSERT_TRUE(plan.result) << plan.result.error().problem;
    ASSERT_EQ(*plan.result, 2U);
    const VmPlan& a = plan.machines[0];
    EXPECT_EQ(a.name, "alpha");
    EXPECT_EQ(a.file, "gkernel.elf");
    EXPECT_EQ(a.vcpus, 4U);
    EXPECT_EQ(a.ram_kib, 65536U);
    EXPECT_EQ(a.limit_ms, 0U);
    EXPECT_TRUE(a.keep);
    EXPECT_EQ(a.information, Gpa{0x9000});
    EXPECT_EQ(a.hold.kind, HoldPlan::Kind::Until);
    EXPECT_EQ(a.hold.page, Gpa{0x204000});
    EXPECT_EQ(a.hold.until, Gpa{0x205000});
    EXPECT_EQ(a.hold_limit_ms, 50U);
    EXPECT_TRUE(a.has_fail);
    EXPECT_EQ(a.fail, Gpa{0x206000});
    EXPECT_TRUE(a.has_memory);
    EXPECT_EQ(a.memory_frames, 7U);
    ASSERT_EQ(a.protect.size(), 2U);
    EXPECT_EQ(a.protect[0].permission, (Permission{.read = true, .write = true}));
    EXPECT_EQ(a.protect[1].permission, read_only);
    ASSERT_EQ(a.mmio.size(), 1U);
    EXPECT_EQ(a.args, "touch=bss  race=0x1000");
    EXPECT_TRUE(a.open_ports);
    EXPECT_FALSE(a.x2apic);
    const VmPlan& b = plan.machines[1];
    EXPECT_FALSE(b.open_ports);
    EXPECT_TRUE(b.x2apic);
    EXPECT_EQ(b.hold.kind, HoldPlan::Kind::Faults);
    EXPECT_EQ(b.hold.page, Gpa{4096});
    EXPECT_EQ(b.hold.faults, 2U);
    EXPECT_FALSE(b.keep);
    EXPECT_EQ(b.vcpus, 1U);
}

struct Wrong {
    const char* text;
    unsigned line;
    const char* key;
};

class PlanRefuses : public testing::TestWithParam<Wrong> {};

TEST_P(PlanRefuses, NamingLineAndKey) {
    const Parsed plan{GetParam().text};
    ASSERT_FALSE(plan.result);
    EXPECT_EQ(plan.result.error().line, GetParam().line);
    EXPECT_EQ(plan.result.error().key, GetParam().key);
    EXPECT_STRNE(plan.result.error().problem, "");
}

INSTANTIATE_TEST_SUITE_P(
    Plan, PlanRefuses,
    testing::Values(Wrong{"\n\nnonsense", 3, "nonsense"}, Wrong{"vm name=a", 1, "file"},
                    Wrong{"vm file=a", 1, "name"}, Wrong{"vm name=a file=b cpus=2", 1, "cpus"},
                    Wrong{"vm name=a/b file=b", 1, "name"}, Wrong{"vm name= file=b", 1, "name"},
                    Wrong{"vm name=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa file=b", 1, "name"},
                    Wrong{"vm name=a file=b vcpus=0", 1, "vcpus"},
                    Wrong{"vm name=a file=b vcpus=9", 1, "vcpus"},
                    Wrong{"vm name=a file=b ram=18446744073709551616", 1, "ram"},
                    Wrong{"vm name=a file=b ram=12k", 1, "ram"},
                    Wrong{"vm name=a file=b ram=0x", 1, "ram"},
                    Wrong{"vm name=a file=b hold=0x1001:2", 1, "hold"},
                    Wrong{"vm name=a file=b hold=0x1000", 1, "hold"},
                    Wrong{"vm name=a file=b hold=0x1000:0", 1, "hold"},
                    Wrong{"vm name=a file=b hold=0x1000:2:3", 1, "hold"},
                    Wrong{"vm name=a file=b hold=0x1000:until:0x1000", 1, "hold"},
                    Wrong{"vm name=a file=b hold=0x1000:1 hold=0x2000:1", 1, "hold"},
                    Wrong{"vm name=a file=b fail=0x10000000000", 1, "fail"},
                    Wrong{"vm name=a file=b protect=0x1000:w", 1, "protect"},
                    Wrong{"vm name=a file=b keep", 1, "keep"},
                    Wrong{"vm name=a file=b ports=closed", 1, "ports"},
                    Wrong{"vm name=a file=b exits=", 1, "exits"},
                    Wrong{"vm name=a file=b exits=cr3,gp", 1, "exits"},
                    Wrong{"vm name=a file=b exits=pf,pf", 1, "exits"},
                    Wrong{"vm name=a file=b apic=pic", 1, "apic"},
                    Wrong{"vm name=a file=b\nvm name=a file=c", 2, "name"},
                    Wrong{"vm name=a file=x\nvm name=b file=x\nvm name=c file=x\nvm name=d file=x\n"
                          "vm name=e file=x",
                          5, "e"}));

TEST(Plan, WhatExitsIsChosen) {
    const auto exits = [](const char* line) {
        const Parsed plan{line};
        return std::pair{plan.machines[0].exits.cr3_writes, plan.machines[0].exits.page_faults};
    };
    EXPECT_EQ(exits("vm name=a file=b"), (std::pair{false, false}));
    EXPECT_EQ(exits("vm name=a file=b exits=cr3"), (std::pair{true, false}));
    EXPECT_EQ(exits("vm name=a file=b exits=pf"), (std::pair{false, true}));
    EXPECT_EQ(exits("vm name=a file=b exits=pf,cr3"), (std::pair{true, true}));
}

TEST(Plan, AnEmptyPlanIsNoMachine) {
    EXPECT_EQ(Parsed{""}.result.value_or(9), 0U);
    EXPECT_EQ(Parsed{"\n \r\n# only words\n"}.result.value_or(9), 0U);
}

TEST(Plan, AnyBytesAreReadOrRefused) {
    std::mt19937 random{7};
    const std::string seed =
        "vm name=alpha file=g vcpus=4 ram=65536 limit=10 keep=1 info=0x9000 hold=0x204000:until:"
        "0x205000 fail=0x1000 memory=7 protect=0x300000:rw mmio=0x2000 args=x y\n";
    for (int round = 0; round < 20'000; ++round) {
        std::string text = seed + seed;
        for (unsigned cuts = random() % 8; cuts > 0; --cuts)
            text[random() % text.size()] = static_cast<char>(random() % 3 ? random() : '\n');
        text.resize(random() % text.size());
        const Parsed plan{text};
        if (plan.result) {
            EXPECT_LE(*plan.result, plan.machines.size());
        } else {
            EXPECT_GE(plan.result.error().line, 1U);
            EXPECT_STRNE(plan.result.error().problem, "");
        }
    }
}

}  // namespace
}  // namespace vmm
