// SPDX-License-Identifier: MIT
// Task lab6.return_from_event.
#include "vmm/soft/return_from_event.hh"

#include "soft_fixture.hh"

namespace lab {
namespace {

class ReturnFromEvent : public SoftTest {
   protected:
    static constexpr std::uint32_t esp = 0x5e00;
    void frame(std::uint32_t eip, std::uint32_t cs, std::uint32_t eflags, std::uint32_t new_esp = 0,
               std::uint32_t ss = 0, std::uint32_t at = esp) {
        cpu.registers.rsp = at;
        unsigned i = 0;
        for (const std::uint32_t value : {eip, cs, eflags, new_esp, ss})
            memory().put<std::uint32_t>(at + 4 * i++, value);
    }
    std::expected<void, GuestFault> ret() { return return_from_event(cpu, memory()); }
    /// Whether it faults so, and changes nothing.
    ::testing::AssertionResult refuses(const GuestFault& wanted) {
        const std::string before = state();
        if (const auto seen = faults(ret(), wanted); !seen) return seen;
        if (state() != before)
            return ::testing::AssertionFailure()
                   << "a fault changes nothing: it was " << before << ", it is " << state();
        return ::testing::AssertionSuccess();
    }
};

TEST_F(ReturnFromEvent, GoesToAProgram) {
    frame(0x0040'1234, user_code, 0x202 | low_bits, 0x7f00, user_data);
    EXPECT_TRUE(is_done(ret()));
    EXPECT_TRUE(cpu.user_mode);
    EXPECT_EQ(cpu.registers.rip, 0x0040'1234U);
    EXPECT_EQ(cpu.registers.rsp, 0x7f00U) << "the program's stack";
    EXPECT_EQ(cpu.selector(SegmentName::Cs), user_code);
    EXPECT_EQ(cpu.selector(SegmentName::Ss), user_data);
    EXPECT_EQ(cpu.registers.rflags & low_bits, low_bits);
    EXPECT_TRUE(cpu.interrupts_enabled) << "the guest's IF is the frame's";
}

TEST_F(ReturnFromEvent, GoesBackIntoTheKernel) {
    frame(0x9876, kernel_code, 0x002 | low_bits, 0x1111, user_data);
    cpu.interrupts_enabled = true;
    cpu.interrupt_shadow = true;
    EXPECT_TRUE(is_done(ret()));
    EXPECT_FALSE(cpu.user_mode);
    EXPECT_EQ(cpu.registers.rip, 0x9876U);
    EXPECT_EQ(cpu.registers.rsp, esp + 12) << "three numbers were popped";
    EXPECT_EQ(cpu.selector(SegmentName::Ss), kernel_data) << "SS stays";
    EXPECT_FALSE(cpu.interrupts_enabled) << "the guest's IF is the frame's";
    EXPECT_FALSE(cpu.interrupt_shadow);
}

TEST_F(ReturnFromEvent, TakesTheProgramsFlagsAlone) {
    cpu.registers.rflags = 0x18'0202;
    frame(0x9876, kernel_code, 0xffff'ffff & ~0x2'0000U);
    EXPECT_TRUE(is_done(ret()));
    EXPECT_EQ(hex(cpu.registers.rflags), hex(0x18'0202U | vmm::soft::program_flags))
        << "IOPL and IF of RFLAGS are the real CPU's";
    cpu.registers.rflags = 0x202 | vmm::soft::program_flags;
    frame(0x9876, kernel_code, 0);
    EXPECT_TRUE(is_done(ret()));
    EXPECT_EQ(cpu.registers.rflags, 0x202U) << "flags that are 0 in the frame become 0";
}

TEST_F(ReturnFromEvent, AProgramKeepsItsIf) {
    in_program();
    frame(0x0040'1234, user_code, 0x002 | low_bits, 0, 0, user_stack);
    EXPECT_TRUE(is_done(ret()));
    EXPECT_TRUE(cpu.interrupts_enabled) << "a program must not turn interrupts off";
    EXPECT_EQ(cpu.registers.rip, 0x0040'1234U);
    EXPECT_EQ(cpu.registers.rsp, user_stack + 12) << "no stack is popped in the same ring";
    EXPECT_EQ(cpu.registers.rflags & low_bits, low_bits);
    EXPECT_TRUE(cpu.user_mode);
}

TEST_F(ReturnFromEvent, AProgramDoesNotBecomeTheKernel) {
    in_program();
    frame(0x9876, kernel_code, 0x202, 0, 0, user_stack);
    EXPECT_TRUE(refuses(gp(kernel_code)));
}

TEST_F(ReturnFromEvent, ACodeSegmentThatDoesNotFitIsAFault) {
    frame(0x9876, 0, 0x202);
    EXPECT_TRUE(refuses(gp(0))) << "null";
    frame(0x9876, 3, 0x202);
    EXPECT_TRUE(refuses(gp(0))) << "null with an RPL";
    frame(0x9876, none, 0x202);
    EXPECT_TRUE(refuses(gp(none))) << "beyond the GDT";
    frame(0x9876, kernel_data, 0x202);
    EXPECT_TRUE(refuses(gp(kernel_data))) << "data";
    frame(0x9876, kernel_code | 3, 0x202, 0x7f00, user_data);
    EXPECT_TRUE(refuses(gp(kernel_code))) << "DPL 0 with RPL 3";
    frame(0x9876, user_code & ~3U, 0x202);
    EXPECT_TRUE(refuses(gp(user_code & ~3U))) << "DPL 3 with RPL 0";
    frame(0x9876, user_code & ~2U, 0x202);
    EXPECT_TRUE(refuses(gp(user_code & ~3U))) << "RPL 1";
    frame(0x9876, absent_code, 0x202);
    EXPECT_TRUE(refuses(np(absent_code))) << "not present";
    frame(0x9876, conforming_code, 0x202);
    EXPECT_TRUE(refuses(gp(conforming_code))) << "conforming";
    descriptor(busy_tss, 0x00cf'ba00'0000'ffff);  // code of ring 1
    frame(0x9876, busy_tss | 1, 0x202);
    EXPECT_TRUE(refuses(gp(busy_tss))) << "there are rings 0 and 3 alone";
    frame(0x9876, 0x9a00, 0x202);
    EXPECT_TRUE(refuses(gp(0x9a00))) << "far beyond the GDT";
    memory().put(gdt, memory().get<std::uint64_t>(gdt + kernel_code));
    frame(0x9876, 0, 0x202);
    EXPECT_TRUE(refuses(gp(0))) << "null, whatever the GDT's first entry says";
}

TEST_F(ReturnFromEvent, AStackSegmentThatDoesNotFitIsAFault) {
    frame(0x9876, user_code, 0x202, 0x7f00, 0);
    EXPECT_TRUE(refuses(gp(0))) << "null";
    frame(0x9876, user_code, 0x202, 0x7f00, kernel_data);
    EXPECT_TRUE(refuses(gp(kernel_data))) << "the kernel's";
    frame(0x9876, user_code, 0x202, 0x7f00, user_data & ~3U);
    EXPECT_TRUE(refuses(gp(user_data & ~3U))) << "RPL 0";
    frame(0x9876, user_code, 0x202, 0x7f00, user_read_only);
    EXPECT_TRUE(refuses(gp(user_read_only & ~3U))) << "read-only";
    frame(0x9876, user_code, 0x202, 0x7f00, absent_user_data);
    EXPECT_TRUE(refuses(ss_fault(absent_user_data & ~3U))) << "not present";
    frame(0x9876, user_code, 0x202, 0x7f00, user_code);
    EXPECT_TRUE(refuses(gp(user_code & ~3U))) << "code";
    frame(0x9876, user_code, 0x202, 0x7f00, none | 3);
    EXPECT_TRUE(refuses(gp(none))) << "beyond the GDT";
    frame(0x9876, user_code, 0x202, 0x7f00, 0xf203);
    EXPECT_TRUE(refuses(gp(0xf200))) << "far beyond the GDT";
    memory().put(gdt, memory().get<std::uint64_t>(gdt + (user_data & ~3U)));
    frame(0x9876, user_code, 0x202, 0x7f00, 3);
    EXPECT_TRUE(refuses(gp(0))) << "null, whatever the GDT's first entry says";
}

TEST_F(ReturnFromEvent, Virtual8086IsNotThere) {
    frame(0x9876, kernel_code, 0x2'0202);
    EXPECT_TRUE(refuses(gp(0)));
}

TEST_F(ReturnFromEvent, AStackThatIsNotThereIsAPageFault) {
    with_paging(all, {0x6000});
    frame(0x9876, user_code, 0x202, 0x7f00, user_data, 0x5ff8);
    EXPECT_TRUE(refuses(pf(0, 0x6000)));
    frame(0x9876, user_code, 0x202, 0x7f00, user_data, 0x6000 - 12);
    EXPECT_TRUE(refuses(pf(0, 0x6000))) << "the first three are there, the other two are not";
    frame(0x9876, kernel_code, 0x202, 0, 0, 0x6000 - 12);
    EXPECT_TRUE(is_done(ret())) << "within ring 0 the other two are not read";
    memory().put<std::uint32_t>(table + 4 * 5, 0x5000 | p | rw);
    in_program();
    cpu.registers.rsp = esp;
    EXPECT_TRUE(refuses(pf(5, esp))) << "a program reads with its own rights";
}

TEST_F(ReturnFromEvent, SelectorsHaveTwoBytes) {
    with_paging(p | rw);  // the kernel's alone
    cpu.interrupts_enabled = true;
    frame(0x9876, 0xffff'0000 | user_code, 0x202, 0x7f00, 0xffff'0000 | user_data);
    EXPECT_TRUE(is_done(ret())) << "the kernel reads its own stack";
    EXPECT_EQ(hex(cpu.selector(SegmentName::Cs)), hex(user_code));
    EXPECT_EQ(hex(cpu.selector(SegmentName::Ss)), hex(user_data));
}

TEST_F(ReturnFromEvent, OneAfterTheOther) {
    frame(0x9876, 0, 0x202);
    EXPECT_TRUE(refuses(gp(0)));
    for (const std::uint32_t eip : {0x1111U, 0x2222U}) {
        in_kernel();
        frame(eip, kernel_code, 0x202, 0, 0, esp + (eip & 0xf0));
        EXPECT_TRUE(is_done(ret()));
        EXPECT_EQ(hex(cpu.registers.rip), hex(eip)) << "into the kernel";
        EXPECT_EQ(hex(cpu.registers.rsp), hex(esp + (eip & 0xf0) + 12));
        frame(eip + 1, user_code, 0x202, 0x7000 + eip, user_data);
        EXPECT_TRUE(is_done(ret()));
        EXPECT_EQ(hex(cpu.registers.rip), hex(eip + 1)) << "into a program";
        EXPECT_EQ(hex(cpu.registers.rsp), hex(0x7000 + eip));
        EXPECT_TRUE(cpu.user_mode);
    }
}

TEST_F(ReturnFromEvent, TheStackWrapsAtFourGib) {
    memory().put<std::uint32_t>(0, kernel_code);
    memory().put<std::uint32_t>(4, 0x202);
    cpu.registers.rsp = 0xffff'fffc;  // no memory is there: it reads as ff
    EXPECT_TRUE(is_done(ret()));
    EXPECT_EQ(hex(cpu.registers.rip), hex(0xffff'ffff));
    EXPECT_EQ(hex(cpu.registers.rsp), hex(8)) << "ESP has 32 bits";
}

}  // namespace
}  // namespace lab
