// SPDX-License-Identifier: MIT
// The local APIC by its page of registers.
#include <gtest/gtest.h>

#include "kern/tests/support/results.hh"
#include "vmm/devices/x2apic.hh"

namespace vmm {
namespace {

using kern::Error;
using kern::test::fails_with;
using Kind = InterruptCommand::Kind;
using To = InterruptCommand::To;

constexpr std::uint64_t id = 0x20, version = 0x30, tpr = 0x80, ppr = 0xa0, eoi = 0xb0, ldr = 0xd0,
                        dfr = 0xe0, svr = 0xf0, isr = 0x100, irr = 0x200, esr = 0x280,
                        icr_low = 0x300, icr_high = 0x310, lvt_timer = 0x320, lvt_error = 0x370,
                        initial = 0x380, current = 0x390, divide = 0x3e0;

class Page : public testing::Test {
   protected:
    void SetUp() override {
        apic_.set_mode(X2Apic::Mode::Xapic);
        write(svr, 0x1ff);
    }
    std::uint32_t read(std::uint64_t offset, std::uint64_t now = 0) {
        return apic_.read_page(offset, now).value_or(~0U);
    }
    std::optional<InterruptCommand> write(std::uint64_t offset, std::uint32_t value,
                                          std::uint64_t now = 0) {
        const auto result = apic_.write_page(offset, value, now);
        EXPECT_TRUE(result.has_value()) << std::hex << offset;
        return result.value_or(std::nullopt);
    }
    bool is_addressed(std::uint32_t destination, bool logical) {
        return apic_.is_addressed({.logical = logical, .destination = destination}, 7);
    }
    X2Apic apic_{2};
};

TEST_F(Page, HasTheStateOfTheX2apic) {
    EXPECT_EQ(read(id), 2U << 24) << "8 bits, in the highest byte";
    EXPECT_EQ(read(version), 0x0005'0014U);
    write(tpr, 0x50);
    EXPECT_EQ(apic_.task_priority(), 0x50);
    EXPECT_EQ(apic_.read(0x808, 0), 0x50U) << "the same register by its MSR";
    EXPECT_EQ(read(ppr), 0x50U);
    write(tpr, 0);
    apic_.post(0x61);
    EXPECT_EQ(read(irr + 0x30), 2U);
    apic_.accept(0x61);
    EXPECT_EQ(read(isr + 0x30), 2U);
    write(eoi, 0x1234);
    EXPECT_EQ(read(isr + 0x30), 0U) << "whatever is written ends it";
}

TEST_F(Page, HasTheTimer) {
    write(divide, 0b1011);
    write(lvt_timer, 0x45);
    write(initial, 1000, 5000);
    EXPECT_EQ(read(initial), 1000U);
    EXPECT_EQ(read(current, 5400), 600U);
    apic_.advance_timer(6000);
    EXPECT_EQ(apic_.deliverable(), 0x45);
}

TEST_F(Page, RefusesNoValue) {
    write(tpr, 0xffff'ff50);
    EXPECT_EQ(read(tpr), 0x50U) << "reserved bits are not written";
    write(svr, 0xffff'ffff);
    EXPECT_EQ(read(svr), 0x3ffU);
    write(esr, 0x77);
    EXPECT_EQ(read(esr), 0U);
    write(lvt_error, 0xffff'ffff);
    EXPECT_EQ(read(lvt_error), 0x1'a7ffU);
    write(divide, 0xffff'ffff);
    EXPECT_EQ(read(divide), 0xbU);
    write(id, 0x0700'0000);
    EXPECT_EQ(read(id), 2U << 24) << "read-only";
    for (const std::uint64_t offset : {0x00, 0x40, 0x90, 0xc0, 0x290, 0x3a0, 0x3f0}) {
        write(offset, 0xffff'ffff);
        EXPECT_EQ(read(offset), 0U) << "reserved";
    }
    EXPECT_FALSE(apic_.has_request()) << "there is no self-IPI register";
    EXPECT_EQ(read(eoi), 0U) << "write-only";
}

TEST_F(Page, RefusesWhatIsNoRegister) {
    for (const std::uint64_t offset : {0x84, 0x88, 0x81, 0x400, 0x800, 0xff0, 0xfff}) {
        EXPECT_TRUE(fails_with(apic_.read_page(offset, 0), Error::Unsupported)) << offset;
        EXPECT_TRUE(fails_with(apic_.write_page(offset, 0, 0), Error::Unsupported)) << offset;
    }
}

TEST_F(Page, SendsByTwoHalves) {
    EXPECT_FALSE(write(icr_high, 0x0300'0000)) << "the upper half sends nothing";
    EXPECT_EQ(read(icr_high), 0x0300'0000U);
    auto command = write(icr_low, 0x0000'4045);
    ASSERT_TRUE(command);
    EXPECT_EQ(command->kind, Kind::Fixed);
    EXPECT_EQ(command->vector, 0x45);
    EXPECT_EQ(command->destination, 3U);
    EXPECT_EQ(read(icr_low), 0x0000'4045U);
    write(icr_high, 0xff12'3456);
    EXPECT_EQ(read(icr_high), 0xff00'0000U);
    command = write(icr_low, 0xffff'4045);
    ASSERT_TRUE(command);
    EXPECT_EQ(command->to, To::AllButSelf);
    command = write(icr_low, 0x0000'4045);
    ASSERT_TRUE(command);
    EXPECT_EQ(command->destination, ~0U) << "255 is everyone";
    command = write(icr_low, 0x0000'4608);
    ASSERT_TRUE(command);
    EXPECT_EQ(command->kind, Kind::Startup);
}

TEST_F(Page, HasTwoModelsOfLogicalDestinations) {
    EXPECT_EQ(read(ldr), 0U);
    EXPECT_EQ(read(dfr), ~0U) << "flat at first";
    EXPECT_FALSE(is_addressed(0x0f, true)) << "no logical identifier yet";
    write(ldr, 0x0412'3456);
    EXPECT_EQ(read(ldr), 0x0400'0000U);
    EXPECT_TRUE(is_addressed(0x0c, true));
    EXPECT_FALSE(is_addressed(0x0b, true));
    write(dfr, 0);
    EXPECT_EQ(read(dfr), 0x0fff'ffffU) << "clusters";
    write(ldr, 0x3400'0000);
    EXPECT_TRUE(is_addressed(0x3c, true));
    EXPECT_FALSE(is_addressed(0x3b, true)) << "another member";
    EXPECT_FALSE(is_addressed(0x1c, true)) << "another cluster";
    EXPECT_TRUE(is_addressed(2, false));
    EXPECT_FALSE(is_addressed(3, false));
    EXPECT_TRUE(is_addressed(~0U, true));
    apic_.reset();
    EXPECT_EQ(read(ldr), 0U) << "INIT";
    EXPECT_EQ(read(dfr), ~0U);
}

}  // namespace
}  // namespace vmm
