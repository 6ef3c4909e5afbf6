// SPDX-License-Identifier: MIT
#include "vmm/svm/registers.hh"

#include <gtest/gtest.h>

#include <variant>

#include "vmm/svm/start_state.hh"

namespace vmm::svm {
namespace {

/// The exception that the guest gets, 0 if none.
unsigned vector_of(const decltype(Exit::reason)& reason) {
    const auto* exception = std::get_if<exit::Exception>(&reason);
    EXPECT_TRUE(exception != nullptr || std::holds_alternative<exit::Served>(reason));
    return exception != nullptr ? exception->vector : 0;
}

TEST(SvmRegisters, Cr8HasFourBits) {
    Registers registers{};
    EXPECT_EQ(vector_of(write_cr8(registers, 15)), 0U);
    EXPECT_EQ(registers.cr8, 15U);
    for (const std::uint64_t wrong : {16ULL, 1ULL << 32, ~0ULL}) {
        EXPECT_EQ(vector_of(write_cr8(registers, wrong)), 13U);
        EXPECT_EQ(registers.cr8, 15U);
    }
}

class SvmDebugRegisters : public testing::Test {
   protected:
    void SetUp() override { set_protected_mode(save, Gpa{0x1000}); }
    unsigned write(unsigned number, std::uint64_t value) {
        return vector_of(write_debug_register(save, breakpoints, number, value));
    }
    SaveArea save{};
    std::array<std::uint64_t, 4> breakpoints{};
};

TEST_F(SvmDebugRegisters, AddressesAreTakenAsTheyAre) {
    for (unsigned number = 0; number < 4; ++number)
        EXPECT_EQ(write(number, 0xffff'ffff'8000'0000 + number), 0U);
    for (unsigned number = 0; number < 4; ++number)
        EXPECT_EQ(breakpoints[number], 0xffff'ffff'8000'0000 + number);
    EXPECT_EQ(save.dr7, 0x400U);
}

// [amd/vol2 13.1.1.3 and 13.1.1.4]
TEST_F(SvmDebugRegisters, ReservedBitsAreAsTheManualHasThem) {
    EXPECT_EQ(write(6, 0), 0U);
    EXPECT_EQ(save.dr6, 0xffff'0ff0U);
    EXPECT_EQ(write(6, 0xffff'ffff), 0U);
    EXPECT_EQ(save.dr6, 0xffff'efffU);
    EXPECT_EQ(write(7, 0), 0U);
    EXPECT_EQ(save.dr7, 0x400U);
    EXPECT_EQ(write(7, 0xffff'dfff), 0U);
    EXPECT_EQ(save.dr7, 0xffff'07ffU);
    EXPECT_EQ(write(6, 1ULL << 32), 13U);
    EXPECT_EQ(write(7, 1ULL << 63), 13U);
    EXPECT_EQ(save.dr7, 0xffff'07ffU);
}

TEST_F(SvmDebugRegisters, Dr4AndDr5AreAliasesWithoutCr4De) {
    EXPECT_EQ(write(4, 0xf), 0U);
    EXPECT_EQ(save.dr6, 0xffff'0fffU);
    EXPECT_EQ(write(5, 0x401), 0U);
    EXPECT_EQ(save.dr7, 0x401U);
    save.cr4 |= 1U << 3;
    EXPECT_EQ(write(4, 0), 6U);
    EXPECT_EQ(write(5, 0), 6U);
    EXPECT_EQ(save.dr7, 0x401U);
}

TEST_F(SvmDebugRegisters, GeneralDetectRaisesDebugOnce) {
    EXPECT_EQ(write(7, 0x2400), 0U);
    EXPECT_EQ(write(0, 0x1234), 1U);
    EXPECT_EQ(breakpoints[0], 0U);
    EXPECT_EQ(save.dr6, 0xffff'2ff0U) << "BD";
    EXPECT_EQ(save.dr7, 0x400U) << "GD is clear in the handler";
    EXPECT_EQ(write(0, 0x1234), 0U);
    EXPECT_EQ(breakpoints[0], 0x1234U);
}

}  // namespace
}  // namespace vmm::svm
