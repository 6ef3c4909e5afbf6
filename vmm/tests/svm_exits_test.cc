// SPDX-License-Identifier: MIT
#include "vmm/svm/exits.hh"

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <variant>

namespace vmm::svm {
namespace {

Exit decode(std::uint64_t code, std::uint64_t info1 = 0, std::uint64_t info2 = 0,
            std::uint64_t rcx = 0) {
    Vmcb vmcb;
    vmcb.control.exit_code = code;
    vmcb.control.exit_info1 = info1;
    vmcb.control.exit_info2 = info2;
    vmcb.save.rip = 0x1234;
    return decode_exit(vmcb, rcx);
}

template <class Reason>
const Reason& as(const Exit& exit) {
    const Reason* reason = std::get_if<Reason>(&exit.reason);
    EXPECT_NE(reason, nullptr) << "this is " << describe(exit);
    static const Reason none{};
    return reason != nullptr ? *reason : none;
}

// EXITINFO1 as measured on QEMU and as [amd/vol2 15.25.6] has it.
TEST(SvmExits, NestedFaultsTellTheAccess) {
    const Exit read_exit = decode(0x400, 0x1'0000'0004, 0x7654'3210);
    const auto& read = as<exit::NestedPageFault>(read_exit);
    EXPECT_EQ(read.address, Gpa{0x7654'3210});
    EXPECT_TRUE(read.read && !read.write && !read.fetch && !read.present && !read.in_guest_walk);

    const Exit write_exit = decode(0x400, 0x1'0000'0007);
    const auto& write = as<exit::NestedPageFault>(write_exit);
    EXPECT_TRUE(write.write && write.present && !write.fetch);

    const Exit fetch_exit = decode(0x400, 0x1'0000'0015);
    const auto& fetch = as<exit::NestedPageFault>(fetch_exit);
    EXPECT_TRUE(fetch.fetch && fetch.present && !fetch.write);

    const Exit walk_exit = decode(0x400, 0x2'0000'0006);
    const auto& walk = as<exit::NestedPageFault>(walk_exit);
    EXPECT_TRUE(walk.in_guest_walk && walk.write && !walk.present);
}

TEST(SvmExits, AReservedBitInATableIsNoLazyFault) {
    EXPECT_TRUE(std::holds_alternative<exit::Unknown>(decode(0x400, 0x1'0000'000c).reason));
}

// [amd/vol2 appendix C] has 64 bits; QEMU writes the lower half.
TEST(SvmExits, ARefusedEntryIsKnownByEitherWidth) {
    for (const std::uint64_t code : {~0ULL, 0xffff'ffffULL}) {
        const Exit exit = decode(code);
        EXPECT_TRUE(std::holds_alternative<exit::EntryFailure>(exit.reason)) << describe(exit);
        EXPECT_EQ(exit.code, exit_code::invalid);
    }
    EXPECT_EQ(decode(0xf000'0000).code, 0xf000'0000U);
}

TEST(SvmExits, PortAccesses) {
    const Exit out_exit = decode(0x7b, 0x03f8'0010, 0x1235);
    EXPECT_EQ(out_exit.instruction_length, 1U);
    const auto& out = as<exit::PortAccess>(out_exit);
    EXPECT_EQ(out.port, 0x3f8);
    EXPECT_EQ(out.size, 1);
    EXPECT_TRUE(!out.in && !out.string && !out.repeat);

    const Exit in_exit = decode(0x7b, 0x00f4'004d, 0x1236);
    const auto& in = as<exit::PortAccess>(in_exit);
    EXPECT_EQ(in.port, 0xf4);
    EXPECT_EQ(in.size, 4);
    EXPECT_TRUE(in.in && in.string && in.repeat);
}

TEST(SvmExits, MsrAccesses) {
    const Exit write_exit = decode(0x7c, 1, 0, 0xffff'ffff'c000'0080);
    const auto& write = as<exit::MsrAccess>(write_exit);
    EXPECT_EQ(write.msr, 0xc000'0080U) << "ECX, not RCX";
    EXPECT_TRUE(write.write);
    const Exit read_exit = decode(0x7c, 0, 0, 0x10);
    EXPECT_FALSE(as<exit::MsrAccess>(read_exit).write);
}

TEST(SvmExits, InstructionsOfAHypervisorRaiseInvalidOpcode) {
    for (const std::uint64_t code : {0x80U, 0x82U, 0x83U, 0x84U, 0x85U, 0x86U, 0x7aU, 0x8dU}) {
        const Exit exit = decode(code);
        EXPECT_EQ(as<exit::Exception>(exit).vector, 6) << std::hex << code;
    }
    EXPECT_TRUE(std::holds_alternative<exit::Hypercall>(decode(0x81).reason));
}

TEST(SvmExits, TheRestByItsKind) {
    EXPECT_TRUE(std::holds_alternative<exit::ExternalInterrupt>(decode(0x60).reason));
    EXPECT_TRUE(std::holds_alternative<exit::ExternalInterrupt>(decode(0x61).reason));
    EXPECT_TRUE(std::holds_alternative<exit::InterruptWindow>(decode(0x64).reason));
    EXPECT_TRUE(std::holds_alternative<exit::Cpuid>(decode(0x72).reason));
    EXPECT_TRUE(std::holds_alternative<exit::Halt>(decode(0x78).reason));
    EXPECT_TRUE(std::holds_alternative<exit::Shutdown>(decode(0x7f).reason));
    EXPECT_TRUE(std::holds_alternative<exit::EntryFailure>(decode(~0ULL).reason));
    EXPECT_TRUE(std::holds_alternative<exit::Unknown>(decode(0x7d).reason)) << "task switch";
    EXPECT_TRUE(std::holds_alternative<exit::Unknown>(decode(0x1234).reason));
    EXPECT_EQ(decode(0x78).rip, 0x1234U);
}

TEST(SvmExits, EveryCodeOfTheManualHasANameOfItsOwn) {
    std::set<std::string> names;
    unsigned count = 0;
    const auto add = [&](std::uint64_t code) {
        const std::string name = exit_name(code);
        EXPECT_NE(name, "reserved exit code") << std::hex << code;
        EXPECT_TRUE(names.insert(name).second) << name << " stands for two codes";
        ++count;
    };
    for (std::uint64_t code = 0; code <= 0xa6; ++code) add(code);
    for (std::uint64_t code = 0x400; code <= 0x403; ++code) add(code);
    for (std::uint64_t code = ~3ULL; code != 0; ++code) add(code);
    EXPECT_EQ(names.size(), count);
    EXPECT_STREQ(exit_name(0x7b), "port access (IOIO)");
    EXPECT_STREQ(exit_name(0x8d), "XSETBV instruction");
    EXPECT_STREQ(exit_name(0x9f), "write of CR15 (trap after it)");
    EXPECT_STREQ(exit_name(0xa0), "INVLPGB instruction");
    EXPECT_STREQ(exit_name(0x4e), "exception #PF (page fault)");
    EXPECT_STREQ(exit_name(0xa7), "reserved exit code");
}

}  // namespace
}  // namespace vmm::svm
