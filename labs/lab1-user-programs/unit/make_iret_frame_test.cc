// SPDX-License-Identifier: MIT
// Task lab1.make_iret_frame.
#include "fixture.hh"
#include "kern/proc/iret_frame.hh"

namespace lab {
namespace {

using kern::Uva;

/// Two programs' frames, of other numbers than the last run's.
class MakeIretFrame : public ::testing::Test {
   protected:
    void SetUp() override {
        const auto another = kern::make_iret_frame(Uva{entry_ ^ 0x1230}, Uva{stack_top_ ^ 0x4000});
        frame_ = kern::make_iret_frame(Uva{entry_}, Uva{stack_top_});
        ASSERT_FALSE(another.rip == frame_.rip && another.rsp == frame_.rsp)
            << "two programs with other entries and other stacks get one frame";
    }

    std::uint64_t entry_ = random().between(1ULL << 33, (1ULL << 47) - 1);
    std::uint64_t stack_top_ = random().page_between(1ULL << 21, (1ULL << 35) - 1);
    kern::IretFrame frame_{};
};

TEST_F(MakeIretFrame, BeginsAtTheEntry) {
    EXPECT_EQ(hex(frame_.rip), hex(entry_)) << "rip is the program's first instruction";
}

TEST_F(MakeIretFrame, BeginsWithTheStack) {
    EXPECT_EQ(hex(frame_.rsp), hex(stack_top_)) << "rsp is the top of the program's stack";
}

TEST_F(MakeIretFrame, HasTheUsersCodeSegment) {
    EXPECT_EQ(hex(frame_.cs), hex(kern::arch::selector::user_code))
        << "cs is user_code, whose lowest two bits are 3: ring 3";
}

TEST_F(MakeIretFrame, HasTheUsersStackSegment) {
    EXPECT_EQ(hex(frame_.ss), hex(kern::arch::selector::user_data))
        << "ss is user_data, whose lowest two bits are 3: ring 3";
}

TEST_F(MakeIretFrame, LetsInterruptsCome) {
    constexpr std::uint64_t interrupt_enable = 0x200;
    EXPECT_EQ(hex(frame_.rflags & interrupt_enable), hex(interrupt_enable))
        << "the interrupt flag, bit 9, in rflags " << hex(frame_.rflags);
}

TEST_F(MakeIretFrame, SetsNoOtherFlag) {
    constexpr std::uint64_t interrupt_enable = 0x200, always_one = 2;
    EXPECT_EQ(hex(frame_.rflags & ~interrupt_enable & ~always_one), hex(0))
        << "all flags but the interrupt flag and bit 1, in rflags " << hex(frame_.rflags);
}

}  // namespace
}  // namespace lab
