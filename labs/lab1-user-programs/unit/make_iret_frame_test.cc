// SPDX-License-Identifier: MIT
// Task lab1.make_iret_frame.
#include "fixture.hh"
#include "kern/proc/iret_frame.hh"

namespace lab {
namespace {

using kern::Uva;

/// Each case looks at a frame of other numbers than the last run's.
class MakeIretFrame : public ::testing::Test {
   protected:
    void SetUp() override {
        frame_ = kern::make_iret_frame(Uva{entry_}, Uva{stack_top_});
        ASSERT_EQ(hex(frame_.rip), hex(entry_)) << "rip is the program's first instruction";
        ASSERT_EQ(hex(frame_.rsp), hex(stack_top_)) << "rsp is where its stack begins";
    }

    std::uint64_t entry_ = random().between(0x1000, (1ULL << 47) - 1);
    std::uint64_t stack_top_ = random().page_between(1, (1ULL << 35) - 1);
    kern::IretFrame frame_{};
};

TEST_F(MakeIretFrame, HoldsTheEntryAndTheStack) {
    const auto again = kern::make_iret_frame(Uva{0x40'0123}, Uva{0x2000});
    EXPECT_EQ(hex(again.rip), hex(0x40'0123));
    EXPECT_EQ(hex(again.rsp), hex(0x2000));
}

TEST_F(MakeIretFrame, GoesToRingThree) {
    EXPECT_EQ(frame_.cs & 3, 3U) << "the privilege level in cs";
    EXPECT_EQ(frame_.ss & 3, 3U) << "the privilege level in ss";
    EXPECT_EQ(hex(frame_.cs), hex(kern::arch::selector::user_code)) << "cs";
    EXPECT_EQ(hex(frame_.ss), hex(kern::arch::selector::user_data)) << "ss";
}

TEST_F(MakeIretFrame, LetsInterruptsComeAndNothingElse) {
    constexpr std::uint64_t interrupt_enable = 0x200, always_one = 2;
    EXPECT_EQ(frame_.rflags & interrupt_enable, interrupt_enable)
        << "the interrupt flag in rflags " << hex(frame_.rflags);
    EXPECT_EQ(hex(frame_.rflags & ~interrupt_enable & ~always_one), hex(0)) << "all other flags";
}

}  // namespace
}  // namespace lab
