// SPDX-License-Identifier: MIT
// Task lab6.deliver_event.
#include "vmm/soft/deliver_event.hh"

#include "soft_fixture.hh"

namespace lab {
namespace {

using vmm::soft::Delivered;

constexpr std::uint32_t handler = 0x0001'2340;

std::string in_words(Delivered delivered) {
    switch (delivered) {
        case Delivered::Nothing: return "nothing";
        case Delivered::Event: return "an event";
        case Delivered::Ended: return "the end";
    }
    return "?";
}

class DeliverEvent : public SoftTest {
   protected:
    void SetUp() override {
        SoftTest::SetUp();
        for (const unsigned vector : {3U, 13U, 14U, 32U, 33U, 0x40U, 0x80U, 255U})
            gate(vector, handler + vector);
        gate(8, handler + 8);
        cpu.interrupts_enabled = true;
    }
    ::testing::AssertionResult delivers(Delivered wanted) {
        const Delivered seen = deliver_event(cpu, memory());
        if (seen == wanted) return ::testing::AssertionSuccess();
        return ::testing::AssertionFailure()
               << "what came is " << in_words(seen) << ", wanted is " << in_words(wanted);
    }
    /// Number `index` of what was pushed; 0 is what was pushed last.
    std::uint32_t pushed(unsigned index) {
        return memory().get(static_cast<std::uint32_t>(cpu.registers.rsp) + 4 * index);
    }
    /// Whether the frame is these numbers, the first pushed last.
    ::testing::AssertionResult frame_is(const std::vector<std::uint32_t>& wanted) {
        static constexpr const char* without[] = {"EIP", "CS", "EFLAGS", "ESP", "SS"};
        for (unsigned i = 0; i < wanted.size(); ++i)
            if (pushed(i) != wanted[i]) {
                const bool with_code = wanted.size() % 2 == 0;
                const char* name =
                    with_code && i == 0 ? "the error code" : without[i - (with_code ? 1U : 0U)];
                return ::testing::AssertionFailure()
                       << "pushed for " << name << " was " << hex(pushed(i)) << ", wanted is "
                       << hex(wanted[i]);
            }
        return ::testing::AssertionSuccess();
    }
    ::testing::AssertionResult runs_handler(unsigned vector) {
        if (cpu.registers.rip == handler + vector) return ::testing::AssertionSuccess();
        return ::testing::AssertionFailure()
               << "EIP is " << hex(cpu.registers.rip) << ", wanted is the handler of vector "
               << vector << ", " << hex(handler + vector);
    }
    void raise(const GuestFault& fault) { cpu.event = {.event = fault}; }
    /// Whether this event, which cannot be delivered as it is, becomes \#DF.
    ::testing::AssertionResult becomes_double_fault(unsigned vector) {
        cpu.event.reset();
        cpu.interrupts = {};
        cpu.interrupts.add(static_cast<std::uint8_t>(vector));
        cpu.interrupts_enabled = true;
        if (const auto event = delivers(Delivered::Event); !event) return event;
        if (const auto runs = runs_handler(8); !runs) return runs;
        if (pushed(0) != 0)
            return ::testing::AssertionFailure()
                   << "its error code is " << hex(pushed(0)) << ", wanted is 0";
        return ::testing::AssertionSuccess();
    }
};

TEST_F(DeliverEvent, AnExceptionOfTheKernelComesOnItsStack) {
    cpu.registers.rflags = 0x202 | low_bits;
    const auto esp = static_cast<std::uint32_t>(cpu.registers.rsp);
    raise(gp(0x28));
    EXPECT_TRUE(delivers(Delivered::Event));
    EXPECT_TRUE(runs_handler(13));
    EXPECT_EQ(cpu.registers.rsp, esp - 16) << "four numbers were pushed";
    EXPECT_TRUE(frame_is({0x28, code, kernel_code, 0x202 | low_bits}));
    EXPECT_FALSE(cpu.event) << "it waits no longer";
    EXPECT_FALSE(cpu.user_mode);
    EXPECT_EQ(cpu.selector(SegmentName::Ss), kernel_data);
}

TEST_F(DeliverEvent, FromAProgramTheStackIsThatOfTheTss) {
    in_program();
    cpu.registers.rip = 0x0040'1234;
    raise(gp(0));
    EXPECT_TRUE(delivers(Delivered::Event));
    EXPECT_TRUE(runs_handler(13));
    EXPECT_EQ(cpu.registers.rsp, stack0 - 24) << "six numbers were pushed at ESP0";
    EXPECT_TRUE(frame_is({0, 0x0040'1234, user_code, 0x202, user_stack, user_data}));
    EXPECT_FALSE(cpu.user_mode) << "the handler runs in ring 0";
    EXPECT_EQ(cpu.selector(SegmentName::Ss), kernel_data) << "SS is SS0";
    EXPECT_EQ(cpu.selector(SegmentName::Cs), kernel_code);
}

TEST_F(DeliverEvent, AnEventWithoutErrorCodePushesNone) {
    in_program();
    cpu.event = {.event = {.vector = 0x80}, .is_software = true};
    EXPECT_TRUE(delivers(Delivered::Event));
    EXPECT_EQ(cpu.registers.rsp, stack0 - 20) << "five numbers were pushed";
    EXPECT_TRUE(frame_is({code, user_code, 0x202, user_stack, user_data}));
}

TEST_F(DeliverEvent, TheFlagsHaveTheGuestsIf) {
    cpu.interrupts_enabled = false;  // the real one is 1
    raise(gp(0));
    EXPECT_TRUE(delivers(Delivered::Event));
    EXPECT_TRUE(frame_is({0, code, kernel_code, 0x002}));
    in_kernel();
    cpu.interrupts_enabled = true;
    cpu.registers.rflags = 0x0000'3002;  // the real one is 0, and IOPL is the real CPU's
    raise(gp(0));
    EXPECT_TRUE(delivers(Delivered::Event));
    EXPECT_TRUE(frame_is({0, code, kernel_code, 0x202}));
}

TEST_F(DeliverEvent, AnInterruptGateTurnsInterruptsOff) {
    cpu.interrupts.add(32);
    EXPECT_TRUE(delivers(Delivered::Event));
    EXPECT_TRUE(runs_handler(32));
    EXPECT_FALSE(cpu.interrupts_enabled);
    EXPECT_NE(cpu.registers.rflags & 0x200, 0U) << "the real IF is not the guest's";
    EXPECT_FALSE(cpu.interrupts.contains(32)) << "it waits no longer";
}

TEST_F(DeliverEvent, ATrapGateLeavesThem) {
    gate(0x80, handler + 0x80, 3, 0xf);
    cpu.event = {.event = {.vector = 0x80}, .is_software = true};
    EXPECT_TRUE(delivers(Delivered::Event));
    EXPECT_TRUE(cpu.interrupts_enabled);
}

TEST_F(DeliverEvent, AnInterruptWaitsForIf) {
    cpu.interrupts.add(33);
    cpu.interrupts_enabled = false;
    cpu.halted = true;
    const std::string before = state();
    EXPECT_TRUE(delivers(Delivered::Nothing));
    EXPECT_EQ(state(), before) << "nothing changes";
    EXPECT_TRUE(cpu.interrupts.contains(33)) << "it still waits";
    cpu.interrupts_enabled = true;
    EXPECT_TRUE(delivers(Delivered::Event));
    EXPECT_TRUE(runs_handler(33));
    EXPECT_FALSE(cpu.halted) << "HLT ends by an interrupt";
}

TEST_F(DeliverEvent, AnInterruptWaitsForTheShadowsEnd) {
    cpu.interrupts.add(33);
    cpu.interrupt_shadow = true;
    EXPECT_TRUE(delivers(Delivered::Nothing));
    EXPECT_TRUE(cpu.interrupt_shadow) << "nothing changes";
    cpu.interrupt_shadow = false;
    EXPECT_TRUE(delivers(Delivered::Event));
}

TEST_F(DeliverEvent, AnExceptionComesWhateverIfSays) {
    cpu.interrupts_enabled = false;
    cpu.interrupt_shadow = true;
    raise(gp(0));
    EXPECT_TRUE(delivers(Delivered::Event));
    EXPECT_TRUE(runs_handler(13));
    EXPECT_FALSE(cpu.interrupt_shadow) << "its shadow is over";
}

TEST_F(DeliverEvent, TheHighestInterruptGoesFirst) {
    for (const std::uint8_t vector : {32, 255, 64, 33}) cpu.interrupts.add(vector);
    for (const unsigned vector : {255U, 64U, 33U, 32U}) {
        in_kernel();
        cpu.interrupts_enabled = true;
        EXPECT_TRUE(delivers(Delivered::Event));
        EXPECT_TRUE(runs_handler(vector)) << "one after the other, the highest first";
    }
    cpu.interrupts_enabled = true;
    EXPECT_TRUE(delivers(Delivered::Nothing)) << "none is left";
}

TEST_F(DeliverEvent, AnExceptionGoesBeforeAnInterrupt) {
    cpu.interrupts.add(255);
    raise(gp(0));
    EXPECT_TRUE(delivers(Delivered::Event));
    EXPECT_TRUE(runs_handler(13));
    EXPECT_TRUE(cpu.interrupts.contains(255)) << "the interrupt waits on";
    EXPECT_TRUE(delivers(Delivered::Nothing)) << "IF is 0 now";
}

TEST_F(DeliverEvent, APageFaultPutsItsAddressIntoCr2) {
    cpu.cr2 = 0x1111;
    raise(pf(6, 0x0040'0ffc));
    EXPECT_TRUE(delivers(Delivered::Event));
    EXPECT_EQ(cpu.cr2, 0x0040'0ffcU);
    EXPECT_TRUE(frame_is({6, code, kernel_code, 0x202}));
    raise(gp(0));
    EXPECT_TRUE(delivers(Delivered::Event));
    EXPECT_EQ(cpu.cr2, 0x0040'0ffcU) << "no other exception writes CR2";
    gate(17, handler + 17);
    raise({.vector = 17, .error_code = 0});
    EXPECT_TRUE(delivers(Delivered::Event));
    EXPECT_EQ(cpu.cr2, 0x0040'0ffcU) << "nor does one behind it";
    cpu.event = {.event = {.vector = 14}, .is_software = true};
    EXPECT_TRUE(delivers(Delivered::Event));
    EXPECT_EQ(cpu.cr2, 0x0040'0ffcU) << "INT 14 is no page fault";
}

TEST_F(DeliverEvent, HandlersRunWithoutTfAndNt) {
    constexpr std::uint32_t flags = 0x202 | vmm::soft::program_flags;
    cpu.registers.rflags = flags;
    raise(gp(0));
    EXPECT_TRUE(delivers(Delivered::Event));
    EXPECT_EQ(hex(cpu.registers.rflags), hex(flags & ~0x4100U)) << "TF and NT, and no others";
    EXPECT_TRUE(frame_is({0, code, kernel_code, flags})) << "the frame keeps them";
}

TEST_F(DeliverEvent, TheFrameIsWrittenByRingZero) {
    with_paging(p | rw);  // the kernel's alone
    in_program();
    raise(gp(0));
    EXPECT_TRUE(delivers(Delivered::Event));
    EXPECT_TRUE(runs_handler(13));
    EXPECT_NE(memory().get(table + 4 * ((stack0 - 4) / page)) & dirty, 0U)
        << "the dirty bit of the stack's page";
}

TEST_F(DeliverEvent, AGateThatIsNoneIsADoubleFault) {
    gate(0x40, handler, 0, 0x5);
    EXPECT_TRUE(becomes_double_fault(0x40)) << "a task gate";
    in_kernel();
    gate(0x40, handler, 0, 0xe, kernel_code, false);
    EXPECT_TRUE(becomes_double_fault(0x40)) << "not present";
    in_kernel();
    gate(0x40, handler, 0, 0x16);
    EXPECT_TRUE(becomes_double_fault(0x40)) << "a reserved type";
    in_kernel();
    cpu.idtr.limit = 0x40 * 8 + 6;
    gate(0x40, handler);
    EXPECT_TRUE(becomes_double_fault(0x40)) << "beyond the IDT's limit";
}

TEST_F(DeliverEvent, AnyEventCanBecomeADoubleFault) {
    for (const std::uint8_t vector : {0, 6, 7, 9, 13, 14}) {
        in_kernel();
        gate(vector, handler, 0, 0x5);
        raise({.vector = vector});
        EXPECT_TRUE(delivers(Delivered::Event)) << "vector " << unsigned{vector};
        EXPECT_TRUE(runs_handler(8)) << "vector " << unsigned{vector};
    }
    in_kernel();
    raise({.vector = 8, .error_code = 0});
    EXPECT_TRUE(delivers(Delivered::Event)) << "a double fault by itself is an event, too";
    EXPECT_TRUE(runs_handler(8));
}

TEST_F(DeliverEvent, EachEventHasAFrameOfItsOwn) {
    gate(0x40, handler, 0, 0x5);
    EXPECT_TRUE(becomes_double_fault(0x40));
    for (const std::uint32_t eip : {0x1'2345U, 0x8'7654U}) {
        in_program();
        cpu.selector(SegmentName::Ds) = 0;
        cpu.registers.rip = eip;
        cpu.registers.rsp = 0x9'0000 + eip;
        raise(gp(0x28));
        EXPECT_TRUE(delivers(Delivered::Event));
        EXPECT_EQ(cpu.registers.rsp, stack0 - 24) << "six numbers, from ESP0 on";
        EXPECT_TRUE(frame_is({0x28, eip, user_code, 0x202, 0x9'0000 + eip, user_data}));
        in_kernel();
        cpu.selector(SegmentName::Ds) = 0;
        cpu.registers.rip = eip;
        cpu.registers.rsp = 0x1'0000 + (eip & 0xff0);
        cpu.interrupts_enabled = true;
        cpu.interrupts.add(0x80);
        EXPECT_TRUE(delivers(Delivered::Event));
        EXPECT_EQ(hex(cpu.registers.rsp), hex(0x1'0000 + (eip & 0xff0) - 12)) << "three numbers";
        EXPECT_TRUE(frame_is({eip, kernel_code, 0x202}));
        EXPECT_EQ(hex(cpu.selector(SegmentName::Ss)), hex(kernel_data)) << "SS stays";
    }
}

TEST_F(DeliverEvent, AHandlersSegmentThatDoesNotFitIsADoubleFault) {
    for (const std::uint16_t selector :
         {std::uint16_t{0}, none, kernel_data, user_code, absent_code, std::uint16_t{0x9a00}}) {
        in_kernel();
        gate(0x40, handler, 0, 0xe, selector);
        EXPECT_TRUE(becomes_double_fault(0x40)) << "selector " << hex(selector);
    }
    in_kernel();
    gate(0x40, handler, 0, 0xe, 0);
    memory().put(gdt, memory().get<std::uint64_t>(gdt + kernel_code));
    EXPECT_TRUE(becomes_double_fault(0x40)) << "null, whatever the GDT's first entry says";
}

TEST_F(DeliverEvent, AStackThatDoesNotFitEndsTheGuest) {
    memory().put(gdt, memory().get<std::uint64_t>(gdt + kernel_data));  // it means nothing
    for (const unsigned selector : {0U, unsigned{none}, unsigned{kernel_code}, unsigned{user_data},
                                    user_data & ~3U, unsigned{absent_data}, unsigned{read_only},
                                    kernel_data | 1U, kernel_data | 3U, 0x9200U}) {
        in_program();
        memory().put<std::uint32_t>(tss_base + 8, selector);
        raise(gp(0));
        EXPECT_TRUE(delivers(Delivered::Ended)) << "SS0 is " << hex(selector);
    }
    in_program();
    memory().put<std::uint32_t>(tss_base + 8, kernel_data);
    cpu.tr.limit = 8;
    raise(gp(0));
    EXPECT_TRUE(delivers(Delivered::Ended)) << "SS0 is beyond TR's limit";
    in_program();
    cpu.tr.limit = 9;
    raise(gp(0));
    EXPECT_TRUE(delivers(Delivered::Event)) << "SS0's last byte is the last within TR's limit";
}

TEST_F(DeliverEvent, SelectorsHaveTwoBytesAndCsHasRplZero) {
    constexpr std::uint16_t high = 0x108;
    cpu.gdtr.limit = high + 7;
    descriptor(high, memory().get<std::uint64_t>(gdt + kernel_code));
    gate(13, handler + 13, 0, 0xe, high | 3);
    memory().put<std::uint32_t>(tss_base + 8, 0xffff'0000 | kernel_data);
    in_program();
    raise(gp(0));
    EXPECT_TRUE(delivers(Delivered::Event));
    EXPECT_EQ(hex(cpu.selector(SegmentName::Cs)), hex(high)) << "the gate's RPL is not kept";
    EXPECT_EQ(hex(cpu.selector(SegmentName::Ss)), hex(kernel_data)) << "SS0 has two bytes";
}

TEST_F(DeliverEvent, TheStackWrapsAtFourGib) {
    cpu.registers.rsp = 8;
    raise(gp(0x28));
    EXPECT_TRUE(delivers(Delivered::Event));
    EXPECT_EQ(hex(cpu.registers.rsp), hex(0xffff'fff8)) << "ESP has 32 bits";
    EXPECT_EQ(memory().get(0), kernel_code);
    EXPECT_EQ(memory().get(4), 0x202U);
}

TEST_F(DeliverEvent, APageFaultOfTheCpuItselfIsADoubleFault) {
    cpu.idtr.base = 0x1'0f00;  // gates from 32 on are in the next page
    memory().put(0x1'0f00 + 8 * 8, memory().get<std::uint64_t>(idt + 8 * 8));
    with_paging(all, {0x1'1000});
    EXPECT_TRUE(becomes_double_fault(0x40)) << "the gate is not mapped";
    for (const auto& [base, gone] : {std::pair{0x3ff8U, 0x4000U}, std::pair{0x3ffaU, 0x3000U}}) {
        for (const std::uint32_t number : {0U, 2U, 4U, 6U, 8U})  // it lies in two pages
            memory().put(base + number, memory().get<std::uint16_t>(tss_base + number));
        with_paging(all, {gone});
        memory().put<std::uint32_t>(directory + 4 * 1023, table | all);
        memory().put<std::uint32_t>(table + 4 * 1023, 0x5000 | all);  // a stack below address 0
        in_program();
        cpu.tr.base = base;
        raise(gp(0));
        EXPECT_TRUE(delivers(Delivered::Ended))
            << "a part of the TSS's stack is not mapped, at " << hex(gone);
    }
}

TEST_F(DeliverEvent, AStackThatIsNotThereIsADoubleFault) {
    with_paging(all, {0x4000});
    cpu.registers.rsp = 0x5008;  // the frame does not fit into this page
    raise(gp(0x28));
    EXPECT_TRUE(delivers(Delivered::Ended)) << "the double fault has no stack either";
    in_kernel();
    memory().put<std::uint32_t>(table + 4 * 0x5, 0x5000 | p);  // read-only
    raise(gp(0x28));
    EXPECT_TRUE(delivers(Delivered::Ended));
}

TEST_F(DeliverEvent, ADoubleFaultHasTheInterruptedCodesFrame) {
    gate(0x40, handler, 0, 0x5);
    cpu.interrupts.add(0x40);
    cpu.registers.rflags = 0x202 | low_bits;
    EXPECT_TRUE(delivers(Delivered::Event));
    EXPECT_TRUE(runs_handler(8));
    EXPECT_TRUE(frame_is({0, code, kernel_code, 0x202 | low_bits}));
    EXPECT_EQ(cpu.registers.rsp, 0x5f00U - 16) << "only one frame was pushed";
}

TEST_F(DeliverEvent, ADoubleFaultThatCannotComeEndsTheGuest) {
    cpu.idtr.limit = 0;
    raise(gp(0));
    EXPECT_TRUE(delivers(Delivered::Ended));
    cpu.idtr.limit = 256 * 8 - 1;
    gate(8, handler, 0, 0x5);
    raise({.vector = 8, .error_code = 0});
    EXPECT_TRUE(delivers(Delivered::Ended)) << "the event was a double fault";
}

}  // namespace
}  // namespace lab
