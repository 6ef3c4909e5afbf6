// SPDX-License-Identifier: MIT
#include "vmm/devices/x2apic.hh"

#include <gtest/gtest.h>

namespace vmm {
namespace {

using Kind = InterruptCommand::Kind;
using To = InterruptCommand::To;

constexpr std::uint32_t id = 0x802, version = 0x803, tpr = 0x808, ppr = 0x80a, eoi = 0x80b,
                        ldr = 0x80d, svr = 0x80f, isr = 0x810, irr = 0x820, esr = 0x828,
                        icr = 0x830, lvt_timer = 0x832, initial = 0x838, current = 0x839,
                        divide = 0x83e, self = 0x83f;

class Apic : public testing::Test {
   protected:
    void SetUp() override { write(svr, 0x1ff); }
    std::uint64_t read(std::uint32_t msr, std::uint64_t now = 0) {
        const auto value = apic_.read(msr, now);
        EXPECT_TRUE(value.has_value()) << std::hex << msr;
        return value.value_or(~0ULL);
    }
    std::optional<InterruptCommand> write(std::uint32_t msr, std::uint64_t value,
                                          std::uint64_t now = 0) {
        const auto result = apic_.write(msr, value, now);
        EXPECT_TRUE(result.has_value()) << std::hex << msr;
        return result.value_or(std::nullopt);
    }
    bool refuses(std::uint32_t msr, std::uint64_t value) {
        return !apic_.write(msr, value, 0).has_value();
    }
    X2Apic apic_{0x12};
};

TEST_F(Apic, TellsWhoItIs) {
    EXPECT_EQ(read(id), 0x12U);
    EXPECT_EQ(read(version) & 0xff, 0x14U);
    EXPECT_EQ(read(ldr), 0x0001'0004U) << "cluster 1, member 2";
}

TEST_F(Apic, ReservedRegistersAndBitsRaiseProtectionFaults) {
    EXPECT_FALSE(apic_.read(0x800, 0));
    EXPECT_FALSE(apic_.read(0x831, 0)) << "the ICR is one register of 64 bits";
    EXPECT_FALSE(apic_.read(eoi, 0)) << "write-only";
    EXPECT_TRUE(refuses(id, 1));
    EXPECT_TRUE(refuses(eoi, 1));
    EXPECT_TRUE(refuses(tpr, 0x100));
    EXPECT_TRUE(refuses(tpr, 1ULL << 32));
    EXPECT_TRUE(refuses(lvt_timer, 1 << 20));
    EXPECT_TRUE(refuses(esr, 1));
    EXPECT_TRUE(refuses(divide, 0x4));
    EXPECT_TRUE(refuses(irr, 0));
}

TEST_F(Apic, DeliversTheHighestAboveThePriorityAndNests) {
    apic_.post(0x31);
    apic_.post(0x52);
    EXPECT_EQ(read(irr + 1), 1U << 0x11);
    ASSERT_EQ(apic_.deliverable(), 0x52);
    apic_.accept(0x52);
    EXPECT_EQ(read(isr + 2), 1U << 0x12);
    EXPECT_EQ(read(ppr), 0x50U);
    EXPECT_EQ(apic_.deliverable(), std::nullopt) << "0x31 is below what is in service";
    apic_.post(0x5f);
    EXPECT_EQ(apic_.deliverable(), std::nullopt) << "the same class";
    apic_.post(0x60);
    EXPECT_EQ(apic_.deliverable(), 0x60);
    apic_.accept(0x60);
    write(eoi, 0);
    EXPECT_EQ(read(ppr), 0x50U) << "EOI ends the highest one alone";
    write(eoi, 0);
    EXPECT_EQ(apic_.deliverable(), 0x5f);
}

TEST_F(Apic, TaskPriorityHoldsBack) {
    apic_.post(0x45);
    write(tpr, 0x40);
    EXPECT_EQ(apic_.deliverable(), std::nullopt);
    EXPECT_TRUE(apic_.is_held_by_task_priority());
    EXPECT_TRUE(apic_.has_request());
    write(tpr, 0x3f);
    EXPECT_EQ(apic_.deliverable(), 0x45);
    EXPECT_FALSE(apic_.is_held_by_task_priority());
}

TEST_F(Apic, IllegalVectorsAreDropped) {
    apic_.post(15);
    EXPECT_FALSE(apic_.has_request());
    apic_.post(16);
    EXPECT_TRUE(apic_.has_request());
    apic_.post(255);
    EXPECT_EQ(apic_.deliverable(), 255);
}

TEST_F(Apic, CommandsOfAllKinds) {
    const auto fixed = write(icr, 0x0000'0003'0000'0041);
    ASSERT_TRUE(fixed);
    EXPECT_EQ(fixed->kind, Kind::Fixed);
    EXPECT_EQ(fixed->to, To::Destination);
    EXPECT_EQ(fixed->vector, 0x41);
    EXPECT_EQ(fixed->destination, 3U);
    EXPECT_EQ(read(icr), 0x0000'0003'0000'0041U);

    const auto init = write(icr, 0x000c'4500);
    ASSERT_TRUE(init);
    EXPECT_EQ(init->kind, Kind::Init);
    EXPECT_EQ(init->to, To::AllButSelf);
    EXPECT_FALSE(write(icr, 0x000c'8500)) << "the de-assert does nothing";

    const auto startup = write(icr, 0x0000'0001'0000'4608);
    ASSERT_TRUE(startup);
    EXPECT_EQ(startup->kind, Kind::Startup);
    EXPECT_EQ(startup->vector, 8);

    EXPECT_EQ(write(icr, 0x400)->kind, Kind::NonMaskable);
    EXPECT_EQ(write(self, 0x77)->to, To::Self);
    EXPECT_EQ(write(icr, 0x0008'0077)->to, To::All);
    EXPECT_TRUE(refuses(icr, 1 << 13));
}

TEST_F(Apic, KnowsWhatIsForIt) {
    const auto is_for_us = [&](InterruptCommand command, std::uint32_t sender = 0) {
        return apic_.is_addressed(command, sender);
    };
    EXPECT_TRUE(is_for_us({.destination = 0x12}));
    EXPECT_FALSE(is_for_us({.destination = 0x02}));
    EXPECT_TRUE(is_for_us({.destination = 0xffff'ffff}));
    EXPECT_TRUE(is_for_us({.logical = true, .destination = 0x0001'0006}));
    EXPECT_FALSE(is_for_us({.logical = true, .destination = 0x0001'0003}));
    EXPECT_FALSE(is_for_us({.logical = true, .destination = 0x0000'0004})) << "another cluster";
    EXPECT_TRUE(is_for_us({.to = To::Self}, 0x12));
    EXPECT_FALSE(is_for_us({.to = To::Self}, 0x13));
    EXPECT_TRUE(is_for_us({.to = To::All}, 0x12));
    EXPECT_FALSE(is_for_us({.to = To::AllButSelf}, 0x12));
    EXPECT_TRUE(is_for_us({.to = To::AllButSelf}, 0x13));
}

TEST_F(Apic, TheTimerRunsOnce) {
    write(divide, 0xb);
    write(lvt_timer, 0x40);
    write(initial, 1000, 5000);
    EXPECT_EQ(apic_.timer_deadline(), 6000U);
    EXPECT_EQ(read(current, 5400), 600U);
    apic_.advance_timer(5999);
    EXPECT_FALSE(apic_.has_request());
    apic_.advance_timer(6000);
    EXPECT_EQ(apic_.deliverable(), 0x40);
    EXPECT_EQ(apic_.timer_deadline(), std::nullopt);
    EXPECT_EQ(read(current, 6500), 0U);
}

TEST_F(Apic, ThePeriodicTimerKeepsItsBeat) {
    write(divide, 0x0);  // by 2
    write(lvt_timer, 0x2'0041);
    write(initial, 500'000, 0);
    EXPECT_EQ(apic_.timer_deadline(), 1'000'000U);
    // Looked at late: one interrupt, and the beat stays at whole periods.
    apic_.advance_timer(3'300'000);
    EXPECT_EQ(apic_.deliverable(), 0x41);
    apic_.accept(0x41);
    EXPECT_EQ(apic_.timer_deadline(), 4'000'000U);
    apic_.advance_timer(3'999'999);
    EXPECT_FALSE(apic_.has_request());
}

TEST_F(Apic, AShortPeriodInterruptsOnlySoOften) {
    write(divide, 0xb);
    write(lvt_timer, 0x2'0041);
    write(initial, 100, 0);
    EXPECT_EQ(apic_.timer_deadline(), 100U);
    apic_.advance_timer(150);
    EXPECT_EQ(apic_.timer_deadline(), std::nullopt) << "the last request waits still";
    EXPECT_EQ(read(current, 230), 70U);
    apic_.accept(0x41);
    EXPECT_EQ(apic_.timer_deadline(), 150U + X2Apic::shortest_period_ns);
    apic_.advance_timer(149 + X2Apic::shortest_period_ns);
    EXPECT_FALSE(apic_.has_request());
    apic_.advance_timer(150 + X2Apic::shortest_period_ns);
    EXPECT_TRUE(apic_.has_request());
    write(initial, 100, 500'000);
    apic_.accept(0x41);
    EXPECT_EQ(apic_.timer_deadline(), 500'100U) << "a new start begins at once";
}

TEST_F(Apic, ATimerWithAnIllegalVectorHasNoDeadline) {
    write(lvt_timer, 0x2'0003);
    write(initial, 1, 0);
    EXPECT_EQ(apic_.timer_deadline(), std::nullopt);
}

TEST_F(Apic, WhatRanOutWhileItWasMaskedIsLost) {
    write(divide, 0xb);
    write(lvt_timer, 0x1'0040);
    write(initial, 1000, 0);
    write(lvt_timer, 0x40, 5000);
    EXPECT_EQ(apic_.timer_deadline(), std::nullopt);
    apic_.advance_timer(6000);
    EXPECT_FALSE(apic_.has_request());
}

TEST_F(Apic, AMaskedTimerCountsButInterruptsNobody) {
    write(divide, 0xb);
    write(lvt_timer, 0x1'0040);
    write(initial, 0xffff'ffff, 0);
    EXPECT_EQ(read(current, 20'000'000), 0xffff'ffffU - 20'000'000) << "calibration reads it";
    EXPECT_EQ(apic_.timer_deadline(), std::nullopt);
    apic_.advance_timer(1ULL << 33);
    EXPECT_FALSE(apic_.has_request());
    write(initial, 0);
    EXPECT_EQ(read(current, 100), 0U);
}

TEST_F(Apic, SoftwareDisableMasksTheTimer) {
    write(lvt_timer, 0x40);
    write(svr, 0xff);
    EXPECT_EQ(read(lvt_timer), 0x1'0040U);
    write(lvt_timer, 0x41);
    EXPECT_EQ(read(lvt_timer), 0x1'0041U) << "stays masked";
}

TEST_F(Apic, InitClearsAllButTheIdentifier) {
    apic_.post(0x50);
    apic_.accept(0x50);
    apic_.post(0x60);
    write(tpr, 0x20);
    write(lvt_timer, 0x40);
    write(initial, 1000);
    apic_.reset();
    EXPECT_FALSE(apic_.has_request());
    EXPECT_EQ(read(ppr), 0U);
    EXPECT_EQ(read(lvt_timer), 0x1'0000U);
    EXPECT_EQ(apic_.timer_deadline(), std::nullopt);
    EXPECT_EQ(read(id), 0x12U);
    EXPECT_EQ(read(svr), 0xffU);
}

}  // namespace
}  // namespace vmm
