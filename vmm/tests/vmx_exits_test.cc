// SPDX-License-Identifier: MIT
#include "vmm/vmx/exits.hh"

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <variant>

#include "vmm/tests/support/fake_vmcs.hh"

namespace vmm::vmx {
namespace {

/// As vmx_read_exit_fields does, and the rest.
Exit decode_exit(const FakeVmcs& vmcs, std::uint64_t rcx) {
    const ExitFields fields{
        .reason = vmcs.read(Field::exit_reason),
        .qualification = vmcs.read(Field::exit_qualification),
        .instruction_length = vmcs.read(Field::exit_instruction_length),
        .rip = vmcs.read(Field::guest_rip),
    };
    return vmx::decode_exit(fields, vmcs, rcx);
}

Exit decode(std::uint32_t reason, std::uint64_t qualification = 0, std::uint64_t address = 0,
            std::uint64_t rcx = 0) {
    FakeVmcs vmcs;
    vmcs.set(Field::exit_reason, reason);
    vmcs.set(Field::exit_qualification, qualification);
    vmcs.set(Field::guest_physical_address, address);
    vmcs.set(Field::exit_instruction_length, 2);
    vmcs.set(Field::guest_rip, 0x1234);
    return decode_exit(vmcs, rcx);
}

template <class Reason>
const Reason& as(const Exit& exit) {
    const Reason* reason = std::get_if<Reason>(&exit.reason);
    EXPECT_NE(reason, nullptr) << "this is " << describe(exit);
    static const Reason none{};
    return reason != nullptr ? *reason : none;
}

// Qualifications as measured on Bochs and as [intel/vol3c table 28-7] has them.
TEST(VmxExits, EptViolationsTellTheAccess) {
    const Exit read_exit = decode(48, 0x181, 0x7654'3210);
    const auto& read = as<exit::NestedPageFault>(read_exit);
    EXPECT_EQ(read.address, Gpa{0x7654'3210});
    EXPECT_TRUE(read.read && !read.write && !read.fetch && !read.present && !read.in_guest_walk);
    EXPECT_EQ(read_exit.information[1], 0x7654'3210U) << "for the report";

    const Exit write_exit = decode(48, 0x182);
    const auto& write = as<exit::NestedPageFault>(write_exit);
    EXPECT_TRUE(write.write && !write.read && !write.present);

    const Exit protected_exit = decode(48, 0x18a);  // write to a page that may be read
    EXPECT_TRUE(as<exit::NestedPageFault>(protected_exit).present);

    const Exit fetch_exit = decode(48, 0x184);
    const auto& fetch = as<exit::NestedPageFault>(fetch_exit);
    EXPECT_TRUE(fetch.fetch && !fetch.write);

    const Exit walk_exit = decode(48, 0x81);
    EXPECT_TRUE(as<exit::NestedPageFault>(walk_exit).in_guest_walk);
    const Exit no_address = decode(48, 0x1);  // no linear address: then bit 8 means nothing
    EXPECT_FALSE(as<exit::NestedPageFault>(no_address).in_guest_walk);
}

TEST(VmxExits, AMisconfigurationIsNoLazyFault) {
    const Exit exit = decode(49, 0, 0x5000);
    EXPECT_TRUE(std::holds_alternative<exit::Unknown>(exit.reason));
    EXPECT_EQ(exit.information[1], 0x5000U);
}

TEST(VmxExits, AFailedEntryIsKnownByBit31) {
    for (const std::uint32_t reason : {33U, 34U, 41U}) {
        const Exit exit = decode(1U << 31 | reason);
        EXPECT_TRUE(std::holds_alternative<exit::EntryFailure>(exit.reason)) << describe(exit);
        EXPECT_EQ(exit.code, 1U << 31 | reason);
    }
}

TEST(VmxExits, PortAccesses) {
    const Exit out_exit = decode(30, 0x03f8'0000);
    const auto& out = as<exit::PortAccess>(out_exit);
    EXPECT_EQ(out.port, 0x3f8);
    EXPECT_EQ(out.size, 1);
    EXPECT_TRUE(!out.in && !out.string && !out.repeat);

    const Exit in_exit = decode(30, 0x00f4'003b);
    const auto& in = as<exit::PortAccess>(in_exit);
    EXPECT_EQ(in.port, 0xf4);
    EXPECT_EQ(in.size, 4);
    EXPECT_TRUE(in.in && in.string && in.repeat);
    EXPECT_EQ(as<exit::PortAccess>(decode(30, 0x00f4'0001)).size, 2);
}

TEST(VmxExits, MsrAccesses) {
    const Exit write_exit = decode(32, 0, 0, 0xffff'ffff'c000'0080);
    const auto& write = as<exit::MsrAccess>(write_exit);
    EXPECT_EQ(write.msr, 0xc000'0080U) << "ECX, not RCX";
    EXPECT_TRUE(write.write);
    const Exit read_exit = decode(31, 0, 0, 0x10);
    EXPECT_FALSE(as<exit::MsrAccess>(read_exit).write);
    EXPECT_EQ(as<exit::MsrAccess>(read_exit).msr, 0x10U);
}

TEST(VmxExits, InstructionsOfAHypervisorRaiseInvalidOpcode) {
    for (const std::uint32_t reason :
         {11U, 17U, 19U, 20U, 21U, 22U, 23U, 24U, 25U, 26U, 27U, 36U, 39U, 50U, 53U, 55U}) {
        const Exit exit = decode(reason);
        EXPECT_EQ(as<exit::Exception>(exit).vector, 6) << reason;
    }
    EXPECT_TRUE(std::holds_alternative<exit::Hypercall>(decode(18).reason));
    const Exit rdpmc = decode(15);
    EXPECT_EQ(as<exit::Exception>(rdpmc).vector, 13);
}

Exit decode_exception(std::uint32_t information) {
    FakeVmcs vmcs;
    vmcs.set(Field::exit_reason, 0);
    vmcs.set(Field::exit_interruption_information, information);
    return decode_exit(vmcs, 0);
}

TEST(VmxExits, ExceptionsAndNmisShareAReason) {
    const Exit debug = decode_exception(0x8000'0301);
    EXPECT_EQ(as<exit::Exception>(debug).vector, 1);
    const Exit alignment = decode_exception(0x8000'0b11);
    EXPECT_EQ(as<exit::Exception>(alignment).vector, 17);
    EXPECT_TRUE(
        std::holds_alternative<exit::ExternalInterrupt>(decode_exception(0x8000'0202).reason))
        << "an NMI of the host";
    EXPECT_TRUE(std::holds_alternative<exit::Unknown>(decode_exception(0x8000'0306).reason));
}

TEST(VmxExits, TheRestByItsKind) {
    EXPECT_TRUE(std::holds_alternative<exit::ExternalInterrupt>(decode(1).reason));
    EXPECT_TRUE(std::holds_alternative<exit::ExternalInterrupt>(decode(52).reason))
        << "the preemption timer stands for the interrupt that does not come";
    EXPECT_TRUE(std::holds_alternative<exit::InterruptWindow>(decode(7).reason));
    EXPECT_TRUE(std::holds_alternative<exit::InterruptWindow>(decode(8).reason));
    EXPECT_TRUE(std::holds_alternative<exit::Cpuid>(decode(10).reason));
    EXPECT_TRUE(std::holds_alternative<exit::Halt>(decode(12).reason));
    EXPECT_TRUE(std::holds_alternative<exit::Shutdown>(decode(2).reason));
    EXPECT_TRUE(std::holds_alternative<exit::IgnoredInstruction>(decode(13).reason)) << "INVD";
    EXPECT_TRUE(std::holds_alternative<exit::IgnoredInstruction>(decode(54).reason)) << "WBINVD";
    EXPECT_TRUE(std::holds_alternative<exit::Unknown>(decode(9).reason)) << "task switch";
    EXPECT_TRUE(std::holds_alternative<exit::Unknown>(decode(28).reason))
        << "see serve_control_register_access";
    EXPECT_TRUE(std::holds_alternative<exit::Unknown>(decode(1234).reason));
    EXPECT_EQ(decode(12).rip, 0x1234U);
}

TEST(VmxExits, EveryReasonOfTheManualHasANameOfItsOwn) {
    std::set<std::string> names;
    unsigned count = 0;
    for (std::uint32_t reason = 0; reason <= 79; ++reason) {
        const std::string name = exit_name(reason);
        if (reason == 35 || reason == 38 || reason == 42 || reason == 71) {
            EXPECT_EQ(name, "reserved exit reason") << reason;
            continue;
        }
        EXPECT_NE(name, "reserved exit reason") << reason;
        EXPECT_TRUE(names.insert(name).second) << name << " stands for two reasons";
        ++count;
    }
    EXPECT_EQ(names.size(), count);
    EXPECT_STREQ(exit_name(18), "VMCALL instruction");
    EXPECT_STREQ(exit_name(30), "I/O instruction");
    EXPECT_STREQ(exit_name(48), "EPT violation");
    EXPECT_STREQ(exit_name(52), "VMX preemption timer");
    EXPECT_STREQ(exit_name(55), "XSETBV instruction");
    EXPECT_STREQ(exit_name(68), "TPAUSE instruction");
    EXPECT_STREQ(exit_name(77), "TDCALL instruction");
    EXPECT_STREQ(exit_name(1U << 31 | 33), "VM-entry failure: invalid guest state");
    EXPECT_STREQ(exit_name(80), "reserved exit reason");
}

TEST(VmxExits, TheLengthIsTheCpusButNoLongerThanAnInstruction) {
    FakeVmcs vmcs;
    vmcs.set(Field::exit_reason, 18);
    vmcs.set(Field::exit_instruction_length, 3);
    EXPECT_EQ(decode_exit(vmcs, 0).instruction_length, 3U);
    vmcs.set(Field::exit_instruction_length, 0xffff'ffff);  // after an exit of another kind
    EXPECT_EQ(decode_exit(vmcs, 0).instruction_length, 15U);
}

}  // namespace
}  // namespace vmm::vmx
