// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include <thread>

#include "kern/arch/host/fake.hh"
#include "kern/arch/x86.hh"
#include "kern/lib/print.hh"
#include "kern/mm/frame_allocator.hh"

namespace kern::arch {
namespace {

TEST(FakeMachine, ResetMakesAFreshOne) {
    fake::reset({.cpus = 3});
    fake::set_msr(1, 2);
    fake::set_cpuid(1, 0, {.eax = 9});
    out8(0x80, 1);
    interrupt_and_wait(2);
    kprint("text");
    ASSERT_TRUE(frames().allocate(frame_owner::test));
    EXPECT_EQ(cpu_count(), 3U);

    fake::reset({.cpus = 2});
    EXPECT_EQ(cpu_count(), 2U);
    EXPECT_EQ(cpuid(1).eax, 0U);
    EXPECT_TRUE(fake::port_writes().empty());
    EXPECT_TRUE(fake::shootdowns().empty());
    EXPECT_EQ(fake::console(), "");
    EXPECT_EQ(frames().accounts()[frame_owner::test.index], 0U);
    EXPECT_EQ(frames().requests(), 0U);
}

TEST(FakeMachine, DirectMapAndBack) {
    fake::reset();
    const Hpa frame = *frames().allocate(frame_owner::test);
    EXPECT_EQ(physical_address(direct_map(frame + 5)), frame + 5);
    EXPECT_GE(frame.value(), 0x1'0000'0000U) << "cut to 32 bits, an HPA is wrong";
    EXPECT_NE(reinterpret_cast<std::uintptr_t>(direct_map(frame)), frame.value());
}

TEST(FakeMachine, Ports) {
    fake::reset();
    EXPECT_EQ(in8(0x3f8), 0xffU);
    EXPECT_EQ(in32(0xcf8), 0xffff'ffffU);
    fake::set_port(0x3fd, 0x20);
    EXPECT_EQ(in8(0x3fd), 0x20U);
    unsigned reads = 0;
    std::uint32_t seen = 0;
    fake::on_port_read(0x60, [&] { return ++reads; });
    fake::on_port_write(0x61, [&](std::uint32_t value) { seen = value; });
    EXPECT_EQ(in8(0x60), 1U);
    EXPECT_EQ(in8(0x60), 2U);
    out8(0x61, 7);
    out32(0xcf8, 0x8000'0000);
    EXPECT_EQ(seen, 7U);
    EXPECT_EQ(fake::port_writes(),
              (std::vector<fake::PortWrite>{{0x61, 1, 7}, {0xcf8, 4, 0x8000'0000}}));
}

TEST(FakeMachine, MsrsAreEachCpusOwn) {
    fake::reset({.cpus = 2});
    fake::set_msr(x86::msr::efer, 0x500);
    std::uint64_t seen = 0;
    fake::on_msr_write(x86::msr::efer, [&](std::uint64_t value) { seen = value; });
    std::thread{[] {
        fake::enter_cpu(1);
        write_msr(x86::msr::efer, read_msr(x86::msr::efer) | 0x1000);
    }}.join();
    EXPECT_EQ(fake::msr(x86::msr::efer, 1), 0x1500U);
    EXPECT_EQ(seen, 0x1500U);
    EXPECT_EQ(read_msr(x86::msr::efer), 0x500U);
}

TEST(FakeMachine, Cpuid) {
    fake::reset();
    fake::set_cpuid(0x8000'000a, 0, {.eax = 1, .ebx = 16});
    fake::set_cpuid(4, 1, {.edx = 3});
    EXPECT_EQ(cpuid(0x8000'000a).ebx, 16U);
    EXPECT_EQ(cpuid(4, 1).edx, 3U);
    EXPECT_EQ(cpuid(4).edx, 0U);
}

TEST(FakeMachine, TimeGoesOnByItself) {
    fake::reset();
    const std::uint64_t first = timestamp();
    EXPECT_EQ(timestamp(), first + 1000);
    fake::set_timestamp_step(0);
    fake::set_timestamp(500);
    EXPECT_EQ(nanoseconds(), 500U);
    set_timer(250);
    EXPECT_EQ(fake::timer_deadline(0), 750U);
    disable_interrupts();
    wait_for_interrupt();
    EXPECT_EQ(nanoseconds(), 750U) << "it slept until the timer";
    EXPECT_EQ(fake::timer_deadline(0), 0U);
    set_timer(1);
    set_timer(0);
    EXPECT_EQ(fake::timer_deadline(0), 0U);
    restore_interrupts(true);
}

TEST(FakeMachine, InterruptsAreRecorded) {
    fake::reset();
    std::uint64_t seen = 0;
    fake::on_interrupt_and_wait([&](std::uint64_t cpus) { seen = cpus; });
    interrupt_and_wait(0b0110);
    EXPECT_EQ(seen, 0b0110U);
    EXPECT_EQ(fake::shootdowns(), std::vector<std::uint64_t>{0b0110});
    kick(0);
    EXPECT_EQ(fake::kicks(0), 1U);
    disable_interrupts();
    wait_for_interrupt();  // the kick came before the sleep and still counts
    restore_interrupts(true);
}

TEST(FakeMachineDeathTest, MisuseIsFatal) {
    fake::reset();
    EXPECT_DEATH(direct_map(Hpa{0x1000}), "direct_map\\(0x1000\\): the fake machine has memory");
    EXPECT_DEATH(direct_map(fake::arena_end()), "has memory from");
    EXPECT_DEATH(*direct_map(fake::arena_begin) = std::byte{1}, "use-after-poison");
    EXPECT_DEATH(*direct_map(fake::arena_end() - 1) = std::byte{1}, "use-after-poison");
    const int local = 0;
    EXPECT_DEATH(physical_address(&local), "not a pointer into the direct map");
    EXPECT_DEATH(read_msr(5), "#GP");
    EXPECT_DEATH(write_msr(5, 0), "#GP");
    EXPECT_DEATH(wait_for_interrupt(), "interrupts must be disabled");
    EXPECT_DEATH(fake::enter_cpu(max_cpus), "no such CPU");
    EXPECT_DEATH(fake::reset({.cpus = 0}), "1 to 16 CPUs");
    EXPECT_DEATH(std::thread([] { cpu_index(); }).join(), "has not called .*enter_cpu");
}

TEST(FakeMachineDeathTest, PowerOff) {
    EXPECT_EXIT(power_off(7), ::testing::ExitedWithCode(7), "");
}

}  // namespace
}  // namespace kern::arch
