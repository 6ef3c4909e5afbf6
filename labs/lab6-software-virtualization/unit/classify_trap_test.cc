// SPDX-License-Identifier: MIT
// Task lab6.classify_trap.
#include "vmm/soft/classify_trap.hh"

#include "soft_fixture.hh"

namespace lab {
namespace {

using vmm::soft::Trap;
using InstructionKind = SensitiveInstruction::Kind;

const Bytes cli{std::byte{0xfa}};
const Bytes iret{std::byte{0xcf}};
const Bytes move_to_ds{std::byte{0x8e}, std::byte{0xd8}};
const Bytes nop{std::byte{0x90}};
const Bytes int3{std::byte{0xcc}};
Bytes interrupt(unsigned vector) {
    return {std::byte{0xcd}, std::byte(vector)};
}

class ClassifyTrap : public SoftTest {
   protected:
    Trap classify(std::uint32_t error_code, const Bytes& bytes) {
        return classify_trap(cpu, memory(), error_code, bytes);
    }
};

using lab::in_words;
std::string in_words(const Trap& trap) {
    switch (trap.kind) {
        case Trap::Kind::Emulate: return "to be emulated";
        case Trap::Kind::SoftwareInterrupt:
            return "a software interrupt with vector " + std::to_string(trap.instruction.number);
        case Trap::Kind::Fault: return "the guest's fault: " + in_words(trap.fault);
    }
    return "?";
}
::testing::AssertionResult emulates(const Trap& seen, InstructionKind kind) {
    if (seen.kind == Trap::Kind::Emulate && seen.instruction.kind == kind)
        return ::testing::AssertionSuccess();
    return ::testing::AssertionFailure()
           << "it is " << in_words(seen) << ", wanted is that it is emulated";
}
::testing::AssertionResult interrupts(const Trap& seen, unsigned vector) {
    if (seen.kind == Trap::Kind::SoftwareInterrupt && seen.instruction.number == vector)
        return ::testing::AssertionSuccess();
    return ::testing::AssertionFailure()
           << "it is " << in_words(seen) << ", wanted is a software interrupt with vector "
           << vector;
}
::testing::AssertionResult is_fault(const Trap& seen, const GuestFault& wanted) {
    if (seen.kind == Trap::Kind::Fault && seen.fault == wanted)
        return ::testing::AssertionSuccess();
    return ::testing::AssertionFailure()
           << "it is " << in_words(seen) << ", wanted is the guest's fault: " << in_words(wanted);
}

TEST_F(ClassifyTrap, AnInstructionOfTheKernelIsEmulated) {
    const Trap seen = classify(0, cli);
    EXPECT_TRUE(emulates(seen, InstructionKind::Cli));
    EXPECT_EQ(seen.instruction.length, 1) << "the instruction is as it was decoded";
    cpu.interrupts_enabled = true;  // which says nothing here
    EXPECT_TRUE(emulates(classify(0, {std::byte{0xe4}, std::byte{0x60}}), InstructionKind::In));
}

TEST_F(ClassifyTrap, TheSameOfAProgramIsItsOwnFault) {
    in_program();
    EXPECT_TRUE(is_fault(classify(0, cli), gp(0)));
    EXPECT_TRUE(is_fault(classify(0, {std::byte{0xf4}}), gp(0)));
}

TEST_F(ClassifyTrap, ASystemCallIsASoftwareInterrupt) {
    gate(0x80, 0x9999, 3);
    in_program();
    const Trap seen = classify(0x402, interrupt(0x80));
    EXPECT_TRUE(interrupts(seen, 0x80));
    EXPECT_EQ(seen.instruction.length, 2);
    in_kernel();
    EXPECT_TRUE(interrupts(classify(0x402, interrupt(0x80)), 0x80)) << "from ring 0";
}

TEST_F(ClassifyTrap, TheVectorIsInTheInstruction) {
    in_program();
    for (unsigned vector = 0; vector < 256; ++vector) {
        gate(vector, 0x9999, 3);
        EXPECT_TRUE(interrupts(classify(vector * 16 + 2, interrupt(vector)), vector))
            << "as QEMU says it";
    }
    EXPECT_TRUE(interrupts(classify(3 * 8 + 2, int3), 3));
}

TEST_F(ClassifyTrap, AGateOfTheKernelIsNotForPrograms) {
    gate(0x40, 0x9999, 0);
    in_program();
    EXPECT_TRUE(is_fault(classify(0x402, interrupt(0x40)), gp(0x40 * 8 + 2)));
    in_kernel();
    EXPECT_TRUE(interrupts(classify(0x402, interrupt(0x40)), 0x40)) << "ring 0 may use it";
}

TEST_F(ClassifyTrap, AGateBeyondTheLimitIsAFault) {
    gate(0x20, 0x9999, 3);
    cpu.idtr.limit = 0x20 * 8 + 6;  // the gate's last byte is outside
    EXPECT_TRUE(is_fault(classify(0x102, interrupt(0x20)), gp(0x20 * 8 + 2)));
    cpu.idtr.limit = 0x20 * 8 + 7;
    EXPECT_TRUE(interrupts(classify(0x102, interrupt(0x20)), 0x20));
}

TEST_F(ClassifyTrap, AnIdtThatIsNotMappedIsAPageFault) {
    with_paging(all, {idt});
    for (const bool program : {false, true}) {
        program ? in_program() : in_kernel();
        EXPECT_TRUE(is_fault(classify(0x402, interrupt(0x80)), pf(0, idt + 0x80 * 8)))
            << "from ring " << cpu.cpl();
    }
}

TEST_F(ClassifyTrap, SelectorsAreLookedAtInBothRings) {
    for (const bool program : {false, true}) {
        program ? in_program() : in_kernel();
        EXPECT_TRUE(emulates(classify(kernel_data, move_to_ds), InstructionKind::MovToSegment));
        EXPECT_TRUE(emulates(classify(user_code & ~3U, iret), InstructionKind::Iret));
        EXPECT_TRUE(emulates(classify(0, iret), InstructionKind::Iret)) << "a null selector";
        EXPECT_TRUE(emulates(classify(1, iret), InstructionKind::Iret)) << "another bit";
        const Bytes jump{std::byte{0xea}, std::byte{0}, std::byte{0x90}, std::byte{0},
                         std::byte{0},    std::byte{8}, std::byte{0}};
        EXPECT_TRUE(emulates(classify(8, jump), InstructionKind::FarJump));
    }
}

TEST_F(ClassifyTrap, WhatIsNotKnownIsTheGuestsOwnFault) {
    for (const bool program : {false, true}) {
        program ? in_program() : in_kernel();
        EXPECT_TRUE(is_fault(classify(0, nop), gp(0)));
        EXPECT_TRUE(is_fault(classify(0x28, nop), gp(0x28))) << "the error code stays";
        EXPECT_TRUE(is_fault(classify(0, {}), gp(0))) << "no bytes";
        EXPECT_TRUE(is_fault(classify(0, {std::byte{0xcd}}), gp(0))) << "half an instruction";
    }
}

TEST_F(ClassifyTrap, AnErrorCodeThatDoesNotFitIsTheGuestsOwnFault) {
    gate(0x80, 0x9999, 3);
    EXPECT_TRUE(is_fault(classify(0, interrupt(0x80)), gp(0))) << "INT without the IDT bit";
    EXPECT_TRUE(is_fault(classify(0x28, interrupt(0x80)), gp(0x28))) << "INT with a selector";
    EXPECT_TRUE(is_fault(classify(1, interrupt(0x80)), gp(1))) << "INT with another bit";
    EXPECT_TRUE(is_fault(classify(0x28, cli), gp(0x28))) << "CLI with a selector";
    EXPECT_TRUE(is_fault(classify(0x102, cli), gp(0x102))) << "CLI with a gate";
    EXPECT_TRUE(is_fault(classify(0x102, iret), gp(0x102))) << "IRET with a gate";
}

}  // namespace
}  // namespace lab
