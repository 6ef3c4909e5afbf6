// SPDX-License-Identifier: MIT
// System registers and events.
#include <gtest/gtest.h>

#include <variant>

#include "vmm/tests/support/fake_vmcs.hh"
#include "vmm/vmx/events.hh"
#include "vmm/vmx/system_registers.hh"

namespace vmm::vmx {
namespace {

TEST(VmxSystemRegisters, AreWhatTheGuestSees) {
    FakeVmcs vmcs = good_64_bit_vmcs();
    vmcs.write(Field::guest_ss_access_rights, 0xc0f3);  // DPL 3
    vmcs.write(Field::guest_cs_base, 0x5000);
    const SystemRegisters seen = read_system_registers(vmcs, 0x1234);
    EXPECT_EQ(seen.cr0, 0x8001'0033U);
    EXPECT_EQ(seen.cr2, 0x1234U);
    EXPECT_EQ(seen.cr3, 0x1000U);
    EXPECT_EQ(seen.cr4, 0x620U);
    EXPECT_EQ(seen.efer, 0xd01U);
    EXPECT_EQ(seen.pat, reset_pat);
    EXPECT_EQ(seen.cs_base, 0U) << "64-bit code has none";
    EXPECT_EQ(seen.cs, 8U);
    EXPECT_EQ(seen.ss, 0x10U);
    EXPECT_EQ(seen.code_size, CodeSize::Bits64);
    EXPECT_EQ(seen.segments[1].base, 0x5000U) << "CS, as it is in the VMCS";
    EXPECT_EQ(seen.segments[2].limit, 0xffff'ffffU) << "SS";
    EXPECT_EQ(seen.privilege_level, 3U);
    vmcs.change(Field::guest_cs_access_rights, 0, access_rights::long_mode);
    EXPECT_EQ(read_system_registers(vmcs, 0).code_size, CodeSize::Bits16) << "compatibility mode";
    vmcs.change(Field::guest_cs_access_rights, access_rights::size_32, 0);
    EXPECT_EQ(read_system_registers(vmcs, 0).code_size, CodeSize::Bits32);
    EXPECT_EQ(read_system_registers(vmcs, 0).cs_base, 0x5000U);
}

// MOV to CR0 that changes no bit of the host's does not exit, so the shadow is old where the guest
// owns the bit.
TEST(VmxSystemRegisters, TheShadowCountsForTheHostsBitsAlone) {
    FakeVmcs vmcs = good_vmcs();
    vmcs.change(Field::guest_cr0, 1U << 16);  // the guest has set WP
    EXPECT_EQ(read_system_registers(vmcs, 0).cr0, 0x1'0011U);
    vmcs.change(Field::guest_cr4, 1U << 5);
    EXPECT_EQ(read_system_registers(vmcs, 0).cr4, 0x20U);
}

TEST(VmxSystemRegisters, EferKeepsLongModeActive) {
    FakeVmcs vmcs = good_64_bit_vmcs();
    set_guest_efer(vmcs, 0x901);  // without LMA
    EXPECT_EQ(vmcs.read(Field::guest_efer), 0xd01U);
    EXPECT_FALSE(find_broken_rule(vmcs, haswell()).has_value());
    FakeVmcs other = good_vmcs();
    set_guest_efer(other, 0xd01);
    EXPECT_EQ(other.read(Field::guest_efer), 0x901U) << "only paging makes long mode active";
    EXPECT_FALSE(find_broken_rule(other, haswell()).has_value());
}

/// The exit qualification of a MOV to a control register.
constexpr std::uint64_t move_to(unsigned number, unsigned source) {
    return number | source << 8;
}

TEST(VmxControlRegisterAccess, TheHostsBitsOfCr0AreTheGuestsInTheShadow) {
    FakeVmcs vmcs = good_vmcs();
    set_real_mode(vmcs, 0);
    Registers registers;
    registers.rsp = 1;
    registers.r12 = 0x31;  // NE, and CD and NW cleared
    vmcs.set(Field::exit_qualification, move_to(0, 12));
    const auto reason = serve_control_register_access(vmcs, registers, 40);
    EXPECT_TRUE(std::holds_alternative<exit::Served>(reason));
    // The rest is done by the CPU, which executes the MOV again: so RIP and CR0 stay as they are.
    EXPECT_EQ(vmcs.read(Field::cr0_read_shadow) & cr0_host_bits, 0x20U);
    EXPECT_EQ(vmcs.read(Field::guest_cr0), 0x30U);
    EXPECT_EQ(vmcs.read(Field::guest_rip), 0U);
}

TEST(VmxControlRegisterAccess, TheSourceIsTheRegisterOfTheQualification) {
    const std::array<std::uint64_t Registers::*, 16> in_order{
        &Registers::rax, &Registers::rcx, &Registers::rdx, &Registers::rbx,
        &Registers::rsp, &Registers::rbp, &Registers::rsi, &Registers::rdi,
        &Registers::r8,  &Registers::r9,  &Registers::r10, &Registers::r11,
        &Registers::r12, &Registers::r13, &Registers::r14, &Registers::r15};
    for (unsigned number = 0; number < in_order.size(); ++number) {
        FakeVmcs vmcs = good_vmcs();
        Registers registers;
        registers.*in_order[number] = 0x4000'0031;
        vmcs.set(Field::exit_qualification, move_to(0, number));
        (void)serve_control_register_access(vmcs, registers, 40);
        EXPECT_EQ(vmcs.read(Field::cr0_read_shadow), 0x4000'0031U) << "register " << number;
    }
}

TEST(VmxControlRegisterAccess, VmxeIsRefusedAsByACpuWithoutVmx) {
    FakeVmcs vmcs = good_vmcs();
    Registers registers;
    registers.rax = 0x2000;
    vmcs.set(Field::exit_qualification, move_to(4, 0));
    const auto reason = serve_control_register_access(vmcs, registers, 40);
    const auto* exception = std::get_if<exit::Exception>(&reason);
    ASSERT_NE(exception, nullptr);
    EXPECT_EQ(exception->vector, 13);
    EXPECT_EQ(vmcs.read(Field::cr4_read_shadow), 0U);
}

TEST(VmxControlRegisterAccess, Cr3IsWritten) {
    FakeVmcs vmcs = good_64_bit_vmcs();
    Registers registers;
    registers.r9 = 0x12'3456'7000;
    vmcs.set(Field::exit_qualification, move_to(3, 9));
    EXPECT_TRUE(
        std::holds_alternative<exit::Cr3Write>(serve_control_register_access(vmcs, registers, 40)));
    EXPECT_EQ(vmcs.read(Field::guest_cr3), registers.r9);
    registers.r9 = 1ULL << 40;
    EXPECT_TRUE(std::holds_alternative<exit::Exception>(
        serve_control_register_access(vmcs, registers, 40)));
    EXPECT_EQ(vmcs.read(Field::guest_cr3), 0x12'3456'7000U) << "an exception has written nothing";
    // With three levels the CPU would read memory.
    vmcs.set(Field::guest_efer, 0);
    vmcs.set(Field::guest_cr0, 0x8000'0031);
    vmcs.set(Field::guest_cr4, 0x20);
    registers.r9 = 0x5000;
    EXPECT_TRUE(
        std::holds_alternative<exit::Unknown>(serve_control_register_access(vmcs, registers, 40)));
}

TEST(VmxControlRegisterAccess, OtherAccessesAreUnknown) {
    FakeVmcs vmcs = good_vmcs();
    for (const std::uint64_t qualification : {0x8ULL, 0x10ULL, 0x13ULL, 0x20ULL, 0x30ULL}) {
        vmcs.set(Field::exit_qualification, qualification);
        EXPECT_TRUE(
            std::holds_alternative<exit::Unknown>(serve_control_register_access(vmcs, {}, 40)))
            << std::hex << qualification;
    }
}

TEST(VmxEvents, AreWrittenAsTheManualHasThem) {
    FakeVmcs vmcs = good_64_bit_vmcs();
    vmcs.write(Field::guest_rflags, 0x202);
    EXPECT_FALSE(has_event(vmcs));
    inject_event(vmcs, {.kind = Event::Kind::ExternalInterrupt, .vector = 0x30});
    EXPECT_EQ(vmcs.read(Field::entry_interruption_information), 0x8000'0030U);
    EXPECT_TRUE(has_event(vmcs));
    EXPECT_FALSE(find_broken_rule(vmcs, haswell()).has_value());
    inject_event(vmcs, {.kind = Event::Kind::NonMaskableInterrupt, .vector = 2});
    EXPECT_EQ(vmcs.read(Field::entry_interruption_information), 0x8000'0202U);
    EXPECT_FALSE(find_broken_rule(vmcs, haswell()).has_value());
    inject_event(vmcs, {.vector = 6});
    EXPECT_EQ(vmcs.read(Field::entry_interruption_information), 0x8000'0306U);
    EXPECT_FALSE(find_broken_rule(vmcs, haswell()).has_value());
    inject_event(vmcs, {.vector = 13, .error_code = 0x18});
    EXPECT_EQ(vmcs.read(Field::entry_interruption_information), 0x8000'0b0dU);
    EXPECT_EQ(vmcs.read(Field::entry_exception_error_code), 0x18U);
    EXPECT_FALSE(find_broken_rule(vmcs, haswell()).has_value());
}

// [intel/vol3a 6.15]: the exceptions that push an error code, which an entry insists on.
TEST(VmxEvents, AnErrorCodeGoesWithTheExceptionsThatHaveOne) {
    for (const bool given : {false, true})
        for (std::uint8_t number = 0; number < 32; ++number) {
            if (number == 2) continue;
            const bool has_one = number == 8 || (number >= 10 && number <= 14) || number == 17;
            FakeVmcs vmcs = good_vmcs();
            Event event{.vector = number};
            if (given) event.error_code = 0;
            inject_event(vmcs, event);
            EXPECT_EQ(find_broken_rule(vmcs, haswell()).has_value(), given != has_one)
                << "exception " << unsigned{number};
        }
}

TEST(VmxEvents, RealModeHasNoErrorCodes) {
    FakeVmcs vmcs = good_vmcs();
    set_real_mode(vmcs, 0);
    inject_event(vmcs, {.vector = 13, .error_code = 0});
    EXPECT_EQ(vmcs.read(Field::entry_interruption_information), 0x8000'030dU);
    EXPECT_FALSE(find_broken_rule(vmcs, haswell()).has_value());
}

/// After an EPT violation that came while the CPU delivered `interrupted`.
FakeVmcs interrupted_by_violation(std::uint32_t interrupted, std::uint64_t qualification = 0x181) {
    FakeVmcs vmcs = good_64_bit_vmcs();
    vmcs.set(Field::exit_reason, 48);
    vmcs.set(Field::exit_qualification, qualification);
    vmcs.set(Field::idt_vectoring_information, interrupted);
    vmcs.set(Field::idt_vectoring_error_code, 0x77);
    return vmcs;
}

TEST(VmxEvents, WhatAnExitInterruptedHappensAgain) {
    FakeVmcs interrupt = interrupted_by_violation(0x8000'1030);  // bit 12 is undefined there
    keep_interrupted_event(interrupt);
    EXPECT_EQ(interrupt.read(Field::entry_interruption_information), 0x8000'0030U);

    FakeVmcs fault = interrupted_by_violation(0x8000'0b0e);
    keep_interrupted_event(fault);
    EXPECT_EQ(fault.read(Field::entry_interruption_information), 0x8000'0b0eU);
    EXPECT_EQ(fault.read(Field::entry_exception_error_code), 0x77U);
}

TEST(VmxEvents, AStaleVectoringInformationIsNotAnEvent) {
    FakeVmcs vmcs = interrupted_by_violation(0x0000'0030);
    keep_interrupted_event(vmcs);
    EXPECT_FALSE(has_event(vmcs));
}

TEST(VmxEvents, SoftwareInterruptsAreExecutedAgain) {
    for (const std::uint32_t type : {4U, 5U, 6U}) {
        FakeVmcs vmcs = interrupted_by_violation(0x8000'0080 | type << 8);
        keep_interrupted_event(vmcs);
        EXPECT_FALSE(has_event(vmcs)) << "type " << type;
    }
}

TEST(VmxEvents, AnInterruptedNmiIsNoLongerBlocked) {
    FakeVmcs vmcs = interrupted_by_violation(0x8000'0202);
    vmcs.write(Field::guest_interruptibility_state, interruptibility::blocking_by_nmi);
    keep_interrupted_event(vmcs);
    EXPECT_EQ(vmcs.read(Field::entry_interruption_information), 0x8000'0202U);
    EXPECT_EQ(vmcs.read(Field::guest_interruptibility_state), 0U);
    EXPECT_FALSE(find_broken_rule(vmcs, haswell()).has_value());
}

TEST(VmxEvents, AnIretThatMustBeExecutedAgainBlocksNmisAgain) {
    FakeVmcs vmcs = interrupted_by_violation(0, 0x1181);
    keep_interrupted_event(vmcs);
    EXPECT_EQ(vmcs.read(Field::guest_interruptibility_state), interruptibility::blocking_by_nmi);
    FakeVmcs other = interrupted_by_violation(0, 0x1181);
    other.set(Field::exit_reason, 30);  // the qualification of an I/O instruction has no such bit
    keep_interrupted_event(other);
    EXPECT_EQ(other.read(Field::guest_interruptibility_state), 0U);
}

// Blocking by STI with TF wants BS [intel/vol3c 27.3.1.5]; what is injected behind STI is its #DB.
TEST(VmxEvents, ADebugExceptionBehindStiIsTaken) {
    FakeVmcs vmcs = good_64_bit_vmcs();
    vmcs.write(Field::guest_rflags, 0x302);
    vmcs.write(Field::guest_interruptibility_state,
               interruptibility::blocking_by_sti | interruptibility::blocking_by_nmi);
    EXPECT_TRUE(find_broken_rule(vmcs, haswell()).has_value()) << "the test tests nothing";
    inject_event(vmcs, {.vector = vector::debug});
    EXPECT_EQ(vmcs.read(Field::guest_interruptibility_state), interruptibility::blocking_by_nmi);
    EXPECT_FALSE(find_broken_rule(vmcs, haswell()).has_value());
}

TEST(VmxEvents, AnUnfinishedInstructionIsNoStep) {
    constexpr std::uint64_t step = 1ULL << 14, hit = 1ULL << 0;
    FakeVmcs vmcs = good_64_bit_vmcs();
    vmcs.write(Field::guest_pending_debug_exceptions, step | hit);
    forget_unfinished_step(vmcs);
    EXPECT_EQ(vmcs.read(Field::guest_pending_debug_exceptions), hit);

    // In the shadow of MOV SS it is that instruction's, and an entry insists on it.
    vmcs.write(Field::guest_interruptibility_state, interruptibility::blocking_by_mov_ss);
    vmcs.write(Field::guest_rflags, 0x302);
    vmcs.write(Field::guest_pending_debug_exceptions, step);
    forget_unfinished_step(vmcs);
    EXPECT_EQ(vmcs.read(Field::guest_pending_debug_exceptions), step);
    EXPECT_FALSE(find_broken_rule(vmcs, haswell()).has_value());
}

}  // namespace
}  // namespace vmm::vmx
