// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include <array>
#include <string>

#include "kern/proc/main/plan.hh"

namespace kern {
namespace {

struct Parsed {
    std::array<RunPlan, 3> steps{};
    std::expected<std::size_t, plan::PlanError> result;
    explicit Parsed(std::string_view text) : result{parse_run_plan(text, steps)} {}
};

TEST(RunPlan, EveryKeyArrives) {
    const Parsed plan{
        "# two steps\n\n"
        "run name=alpha file=a.elf count=64 cpus=2 keep=1 limit=50 memory=7 root=1 probe=move:5 "
        "pending=1 "
        "args=key=0x12  two words\n"
        "  run name=b file=f repeat=1000\r\n"};
    ASSERT_TRUE(plan.result) << plan.result.error().problem;
    ASSERT_EQ(*plan.result, 2U);
    const RunPlan& a = plan.steps[0];
    EXPECT_EQ(a.name, "alpha");
    EXPECT_EQ(a.file, "a.elf");
    EXPECT_EQ(a.count, 64U);
    EXPECT_EQ(a.cpus, 2U);
    EXPECT_TRUE(a.keep);
    EXPECT_EQ(a.limit_ms, 50U);
    EXPECT_TRUE(a.has_memory);
    EXPECT_EQ(a.memory_frames, 7U);
    EXPECT_TRUE(a.root);
    EXPECT_EQ(a.probe, "move:5");
    EXPECT_TRUE(a.pending);
    EXPECT_EQ(a.args, "key=0x12  two words");
    const RunPlan& b = plan.steps[1];
    EXPECT_EQ(b.count, 1U);
    EXPECT_EQ(b.repeat, 1000U);
    EXPECT_EQ(b.cpus, 0U);
    EXPECT_FALSE(b.keep);
    EXPECT_FALSE(b.has_memory);
    EXPECT_TRUE(b.probe.empty());
    EXPECT_FALSE(b.pending);
    EXPECT_TRUE(b.args.empty());
}

struct Wrong {
    const char* text;
    unsigned line;
    const char* key;
};

class WrongRunPlan : public testing::TestWithParam<Wrong> {};

TEST_P(WrongRunPlan, IsRefusedWithLineAndKey) {
    const Parsed plan{GetParam().text};
    ASSERT_FALSE(plan.result);
    EXPECT_EQ(plan.result.error().line, GetParam().line);
    EXPECT_EQ(plan.result.error().key, GetParam().key);
    EXPECT_STRNE(plan.result.error().problem, "");
}

INSTANTIATE_TEST_SUITE_P(
    All, WrongRunPlan,
    testing::Values(Wrong{"vm name=a file=f", 1, "vm"}, Wrong{"\nrun file=f", 2, "name"},
                    Wrong{"run name=a", 1, "file"}, Wrong{"run name=a file=f count=0", 1, "count"},
                    Wrong{"run name=a file=f count=65", 1, "count"},
                    Wrong{"run name=a file=f count=2x", 1, "count"},
                    Wrong{"run name=a file=f cpus=17", 1, "cpus"},
                    Wrong{"run name=a file=f keep=2", 1, "keep"},
                    Wrong{"run name=a file=f keep=1 repeat=2", 1, "keep"},
                    Wrong{"run name=a file=f limit=0", 1, "limit"},
                    Wrong{"run name=a file=f limit=99999999999999999999", 1, "limit"},
                    Wrong{"run name=a/b file=f", 1, "name"}, Wrong{"run name=a file=", 1, "file"},
                    Wrong{"run name=a file=f colour=red", 1, "colour"},
                    Wrong{"run name=a file=f probe=", 1, "probe"},
                    Wrong{"run name=a file=f word", 1, "word"},
                    Wrong{"run name=a file=f\nrun name=a file=g", 2, "name"}));

TEST(RunPlan, OneStepTooManyIsAnError) {
    std::string text;
    for (const char* name : {"a", "b", "c", "d"})
        text += std::string{"run file=f name="} + name + "\n";
    const Parsed plan{text};
    ASSERT_FALSE(plan.result);
    EXPECT_EQ(plan.result.error().line, 4U);
}

}  // namespace
}  // namespace kern
