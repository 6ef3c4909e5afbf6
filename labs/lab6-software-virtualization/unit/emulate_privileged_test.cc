// SPDX-License-Identifier: MIT
// Task lab6.emulate_privileged: bytes are decoded by given code, and what is done with them is looked at.
#include "vmm/soft/emulate_privileged.hh"

#include "soft_fixture.hh"

namespace lab {
namespace {

using vmm::soft::Forget;

/// Ports that remember what happened.
class Ports final : public vmm::soft::PortBus {
   public:
    std::uint32_t read(std::uint16_t port, unsigned size) override {
        last = {port, size, 0, false};
        ++count;
        return answer;
    }
    void write(std::uint16_t port, unsigned size, std::uint32_t value) override {
        last = {port, size, value, true};
        ++count;
    }
    struct Access {
        std::uint16_t port;
        unsigned size;
        std::uint32_t value;
        bool is_write;
        bool operator==(const Access&) const = default;
    };
    Access last{};
    unsigned count = 0;
    std::uint32_t answer = 0;
};

class EmulatePrivileged : public SoftTest {
   protected:
    /// Does the instruction that these bytes are.
    std::expected<Forget, GuestFault> run(std::initializer_list<unsigned> bytes) {
        Bytes made;
        for (const unsigned each : bytes) made.push_back(std::byte(each));
        const auto instruction = vmm::soft::decode_sensitive(made, cpu);
        if (!instruction) {
            ADD_FAILURE() << "given code does not decode " << ::testing::PrintToString(made);
            return {};
        }
        return emulate_privileged(cpu, memory(), ports, *instruction);
    }
    /// Whether it faults so, and changes nothing.
    ::testing::AssertionResult refuses(std::initializer_list<unsigned> bytes,
                                       const GuestFault& wanted) {
        const std::string before = state();
        const unsigned accesses = ports.count;
        if (const auto seen = faults(run(bytes), wanted); !seen) return seen;
        if (state() != before || ports.count != accesses)
            return ::testing::AssertionFailure()
                   << "a fault changes nothing: it was " << before << ", it is " << state();
        return ::testing::AssertionSuccess();
    }
    ::testing::AssertionResult forgets(const std::expected<Forget, GuestFault>& seen,
                                       const Forget& wanted) {
        static constexpr const char* words[] = {"nothing", "a page", "everything"};
        if (!seen) return is_done(seen);
        if (*seen == wanted) return ::testing::AssertionSuccess();
        return ::testing::AssertionFailure()
               << "to be forgotten is " << words[static_cast<unsigned>(seen->kind)] << " at "
               << hex(seen->address.value()) << ", wanted is "
               << words[static_cast<unsigned>(wanted.kind)] << " at "
               << hex(wanted.address.value());
    }
    static constexpr Forget nothing{};
    static constexpr Forget everything{.kind = Forget::Kind::Everything};

    Ports ports;
};

TEST_F(EmulatePrivileged, CliAndStiChangeTheGuestsIf) {
    cpu.interrupts_enabled = true;
    EXPECT_TRUE(forgets(run({0xfa}), nothing));
    EXPECT_FALSE(cpu.interrupts_enabled) << "CLI";
    EXPECT_EQ(cpu.registers.rflags, 0x202U) << "the real flags stay";
    EXPECT_TRUE(is_done(run({0xfb})));
    EXPECT_TRUE(cpu.interrupts_enabled) << "STI";
    EXPECT_EQ(cpu.registers.rip, code + 2U) << "EIP is behind both";
}

TEST_F(EmulatePrivileged, StiHasAShadowOfOneInstruction) {
    EXPECT_TRUE(is_done(run({0xfb})));
    EXPECT_TRUE(cpu.interrupt_shadow) << "IF was 0";
    EXPECT_TRUE(is_done(run({0xf4})));
    EXPECT_FALSE(cpu.interrupt_shadow) << "HLT was the one instruction";
    EXPECT_TRUE(cpu.halted);
    EXPECT_TRUE(is_done(run({0xfb})));
    EXPECT_FALSE(cpu.interrupt_shadow) << "IF was 1 already";
}

TEST_F(EmulatePrivileged, HltHalts) {
    EXPECT_TRUE(is_done(run({0xf4})));
    EXPECT_TRUE(cpu.halted);
    EXPECT_EQ(cpu.registers.rip, code + 1U) << "EIP is behind it";
}

TEST_F(EmulatePrivileged, EipWrapsAtFourGib) {
    cpu.registers.rip = 0xffff'ffff;
    EXPECT_TRUE(is_done(run({0xfa})));
    EXPECT_EQ(cpu.registers.rip, 0U);
    cpu.registers.rsp = 0;
    EXPECT_TRUE(is_done(run({0x9c})));
    EXPECT_EQ(hex(cpu.registers.rsp), hex(0xffff'fffc)) << "ESP wraps, too";
    EXPECT_TRUE(is_done(run({0x9d})));
    EXPECT_EQ(hex(cpu.registers.rsp), hex(0));
}

TEST_F(EmulatePrivileged, OutWritesAPort) {
    cpu.registers.rax = 0x1234'5679;
    cpu.registers.rdx = 0xffff'03f8;
    EXPECT_TRUE(is_done(run({0xee})));
    EXPECT_TRUE((ports.last == Ports::Access{0x3f8, 1, 0x79, true})) << "AL to DX";
    EXPECT_TRUE(is_done(run({0xef})));
    EXPECT_TRUE((ports.last == Ports::Access{0x3f8, 4, 0x1234'5679, true})) << "EAX to DX";
    EXPECT_TRUE(is_done(run({0x66, 0xe7, 0x20})));
    EXPECT_TRUE((ports.last == Ports::Access{0x20, 2, 0x5679, true})) << "AX to a number";
    EXPECT_EQ(cpu.registers.rax, 0x1234'5679U);
    EXPECT_EQ(cpu.registers.rip, code + 5U);
}

TEST_F(EmulatePrivileged, InReadsAPortAndKeepsTheOtherBits) {
    ports.answer = 0xffff'ffff;
    cpu.registers.rax = 0x1234'5678;
    EXPECT_TRUE(is_done(run({0xe4, 0x60})));
    EXPECT_TRUE((ports.last == Ports::Access{0x60, 1, 0, false}));
    EXPECT_EQ(cpu.registers.rax, 0x1234'56ffU) << "AL";
    ports.answer = 0xabcd'0011;
    EXPECT_TRUE(is_done(run({0x66, 0xed})));
    EXPECT_EQ(cpu.registers.rax, 0x1234'0011U) << "AX";
    ports.answer = 0xabcd'0022;
    EXPECT_TRUE(is_done(run({0xed})));
    EXPECT_EQ(cpu.registers.rax, 0xabcd'0022U) << "EAX";
    SoftCpu other = cpu;
    ports.answer = 0x7777'7777;
    EXPECT_TRUE(is_done(emulate_privileged(other, memory(), ports,
                                           {.kind = SensitiveInstruction::Kind::In, .length = 1})));
    EXPECT_EQ(other.registers.rax, 0x7777'7777U) << "EAX of another guest";
    EXPECT_EQ(cpu.registers.rax, 0xabcd'0022U) << "this guest's EAX, when another one reads";
}

TEST_F(EmulatePrivileged, PushfPushesTheGuestsFlags) {
    const auto esp = static_cast<std::uint32_t>(cpu.registers.rsp);
    cpu.registers.rflags = 0x202 | 0x3000 | low_bits;  // the real IF and IOPL
    EXPECT_TRUE(is_done(run({0x9c})));
    EXPECT_EQ(cpu.registers.rsp, esp - 4);
    EXPECT_EQ(memory().get(esp - 4), 0x002 | low_bits) << "the guest's IF is 0, its IOPL 0";
    cpu.interrupts_enabled = true;
    EXPECT_TRUE(is_done(run({0x9c})));
    EXPECT_EQ(memory().get(esp - 8), 0x202 | low_bits) << "the guest's IF is 1";
    cpu.registers.rflags = 0x202;
    EXPECT_TRUE(is_done(run({0x9c})));
    EXPECT_EQ(hex(memory().get(esp - 12)), hex(0x202)) << "IF alone";
    cpu.registers.rsp = 0x1'5f00;
    cpu.registers.rflags = 0x18'3202 | vmm::soft::program_flags;
    EXPECT_TRUE(is_done(run({0x9c})));
    EXPECT_EQ(hex(memory().get(0x1'5efc)), hex(0x202 | vmm::soft::program_flags))
        << "all of the program's flags";
    cpu.interrupts_enabled = false;
    cpu.registers.rflags = 0x3202;
    EXPECT_TRUE(is_done(run({0x9c})));
    EXPECT_EQ(hex(memory().get(0x1'5ef8)), hex(0x002)) << "none but bit 1";
}

TEST_F(EmulatePrivileged, PopfTakesTheProgramsFlagsAndIf) {
    const auto esp = static_cast<std::uint32_t>(cpu.registers.rsp);
    cpu.registers.rflags = 0x18'0202;
    memory().put<std::uint32_t>(esp, 0xffff'ffff);
    EXPECT_TRUE(is_done(run({0x9d})));
    EXPECT_EQ(cpu.registers.rsp, esp + 4);
    EXPECT_TRUE(cpu.interrupts_enabled);
    EXPECT_EQ(hex(cpu.registers.rflags), hex(0x18'0202U | vmm::soft::program_flags))
        << "all but the program's flags stay: IOPL, VM";
    memory().put<std::uint32_t>(esp + 4, 0);
    EXPECT_TRUE(is_done(run({0x9d})));
    EXPECT_FALSE(cpu.interrupts_enabled) << "the guest's IF is 0 now";
    EXPECT_EQ(hex(cpu.registers.rflags), hex(0x18'0202)) << "the real IF stays";
    memory().put<std::uint32_t>(esp + 8, 0x200);
    EXPECT_TRUE(is_done(run({0x9d})));
    EXPECT_TRUE(cpu.interrupts_enabled) << "IF alone";
    memory().put<std::uint32_t>(esp + 12, ~0x200U);
    EXPECT_TRUE(is_done(run({0x9d})));
    EXPECT_FALSE(cpu.interrupts_enabled) << "all but IF";
}

TEST_F(EmulatePrivileged, ControlRegistersAreRead) {
    cpu.cr0 = 0x11;
    cpu.cr2 = 0x2222;
    cpu.cr3 = 0x3000;
    EXPECT_TRUE(forgets(run({0x0f, 0x20, 0xc3}), nothing));
    EXPECT_EQ(cpu.registers.rbx, 0x11U) << "CR0";
    EXPECT_TRUE(is_done(run({0x0f, 0x20, 0xd1})));
    EXPECT_EQ(cpu.registers.rcx, 0x2222U) << "CR2";
    EXPECT_TRUE(is_done(run({0x0f, 0x20, 0xda})));
    EXPECT_EQ(cpu.registers.rdx, 0x3000U) << "CR3";
    EXPECT_TRUE(is_done(run({0x0f, 0x20, 0xe6})));
    EXPECT_EQ(cpu.registers.rsi, 0U) << "CR4";
    EXPECT_EQ(cpu.registers.rip, code + 12U);
}

TEST_F(EmulatePrivileged, AWriteToCr3ForgetsEverything) {
    cpu.registers.rax = 0xabcd'efff;
    EXPECT_TRUE(forgets(run({0x0f, 0x22, 0xd8}), everything));
    EXPECT_EQ(cpu.cr3, 0xabcd'e018U) << "bits 31 to 12, 4 and 3";
    EXPECT_TRUE(forgets(run({0x0f, 0x22, 0xd8}), everything)) << "the same value again";
}

TEST_F(EmulatePrivileged, AWriteToCr0ForgetsWhatPagingWas) {
    cpu.registers.rax = cr0_pg | 1;
    EXPECT_TRUE(forgets(run({0x0f, 0x22, 0xc0}), everything)) << "PG";
    EXPECT_EQ(cpu.cr0, cr0_pg | 0x11) << "ET is always 1";
    cpu.registers.rax = cr0_pg | cr0_wp | 1;
    EXPECT_TRUE(forgets(run({0x0f, 0x22, 0xc0}), everything)) << "WP";
    cpu.registers.rax = cr0_pg | cr0_wp | 3;
    EXPECT_TRUE(forgets(run({0x0f, 0x22, 0xc0}), nothing)) << "MP";
    EXPECT_EQ(cpu.cr0, cr0_pg | cr0_wp | 0x13);
    cpu.registers.rax = 0x5555;
    EXPECT_TRUE(forgets(run({0x0f, 0x22, 0xd0}), nothing)) << "CR2";
    EXPECT_EQ(cpu.cr2, 0x5555U);
}

TEST_F(EmulatePrivileged, InvlpgForgetsOnePage) {
    cpu.registers.rdi = 0x0040'3000;
    EXPECT_TRUE(forgets(run({0x0f, 0x01, 0x7f, 0x21}),
                        {.kind = Forget::Kind::Page, .address = Gva{0x0040'3021}}));
    EXPECT_EQ(cpu.registers.rip, code + 4U);
}

TEST_F(EmulatePrivileged, LgdtAndLidtLoadTheirTables) {
    cpu.registers.rbx = 0x7010;
    memory().put<std::uint16_t>(0x7010, 0x1ff);
    memory().put<std::uint32_t>(0x7012, 0x8765'4321);
    EXPECT_TRUE(forgets(run({0x0f, 0x01, 0x13}), nothing));
    EXPECT_EQ(cpu.gdtr, (vmm::soft::DescriptorTable{0x8765'4321, 0x1ff})) << "GDTR";
    EXPECT_EQ(cpu.idtr.base, idt) << "LGDT leaves IDTR";
    EXPECT_TRUE(is_done(run({0x0f, 0x01, 0x1b})));
    EXPECT_EQ(cpu.idtr, (vmm::soft::DescriptorTable{0x8765'4321, 0x1ff})) << "IDTR";
}

TEST_F(EmulatePrivileged, LtrLoadsATss) {
    cpu.tr = {};
    cpu.registers.rax = 0xffff'0000 | tss;
    EXPECT_TRUE(is_done(run({0x0f, 0x00, 0xd8})));
    EXPECT_EQ(cpu.tr, (vmm::soft::TaskRegister{tss, tss_base, 0x67}));
    EXPECT_EQ(memory().get<std::uint8_t>(gdt + tss + 5), 0x8b) << "it is busy now";
    EXPECT_TRUE(refuses({0x0f, 0x00, 0xd8}, gp(tss))) << "it was busy";
    descriptor(busy_tss, 0x0000'8900'7000'00ff);  // another one, at 7000
    cpu.registers.rax = busy_tss | 3;
    EXPECT_TRUE(is_done(run({0x0f, 0x00, 0xd8}))) << "the selector's RPL does not count";
    EXPECT_EQ(hex(cpu.tr.base), hex(0x7000)) << "the base of the second TSS";
    EXPECT_EQ(hex(memory().get<std::uint64_t>(gdt + busy_tss)), hex(0x0000'8b00'7000'00ff))
        << "the second TSS is busy now, and else as it was";
    for (const auto& [selector, fault] :
         {std::pair{std::uint16_t{0}, gp(0)}, std::pair{none, gp(none)},
          std::pair{kernel_data, gp(kernel_data)}, std::pair{absent_tss, np(absent_tss)}}) {
        cpu.registers.rax = selector;
        EXPECT_TRUE(refuses({0x0f, 0x00, 0xd8}, fault)) << "selector " << hex(selector);
    }
}

TEST_F(EmulatePrivileged, SegmentsAreLoadedFromTheGuestsGdt) {
    for (const std::uint16_t selector : {kernel_data, user_data, read_only, kernel_code,
                                         conforming_code, std::uint16_t{0}, std::uint16_t{3}}) {
        cpu.registers.rcx = 0x1'0000U | selector;
        EXPECT_TRUE(forgets(run({0x8e, 0xd9}), nothing)) << "DS, selector " << hex(selector);
        EXPECT_EQ(cpu.selector(SegmentName::Ds), selector);
    }
    cpu.registers.rcx = kernel_data;
    EXPECT_TRUE(is_done(run({0x8e, 0xd1}))) << "SS";
    cpu.registers.rcx = user_data;
    EXPECT_TRUE(is_done(run({0x8e, 0xe9}))) << "GS";
    EXPECT_EQ(cpu.selector(SegmentName::Gs), user_data);
    EXPECT_TRUE(is_done(run({0x8c, 0xe8}))) << "MOV EAX, GS";
    EXPECT_EQ(cpu.registers.rax, user_data) << "with zeros above";
}

TEST_F(EmulatePrivileged, ASegmentThatDoesNotFitIsAFault) {
    for (const auto& [selector, fault] :
         {std::pair{none, gp(none)}, std::pair{tss, gp(tss)},
          std::pair{execute_only, gp(execute_only & ~3U)},
          std::pair{std::uint16_t{kernel_data | 3}, gp(kernel_data)},
          std::pair{std::uint16_t{kernel_data | 4}, gp(kernel_data | 4)},
          std::pair{absent_user_data, np(absent_user_data & ~3U)}}) {
        cpu.registers.rcx = selector;
        EXPECT_TRUE(refuses({0x8e, 0xd9}, fault)) << "DS, selector " << hex(selector);
    }
    for (const auto& [selector, fault] :
         {std::pair{std::uint16_t{0}, gp(0)}, std::pair{none, gp(none)},
          std::pair{kernel_code, gp(kernel_code)}, std::pair{read_only, gp(read_only)},
          std::pair{user_data, gp(user_data & ~3U)},
          std::pair{std::uint16_t{kernel_data | 3}, gp(kernel_data)},
          std::pair{absent_data, ss_fault(absent_data)}}) {
        cpu.registers.rcx = selector;
        EXPECT_TRUE(refuses({0x8e, 0xd1}, fault)) << "SS, selector " << hex(selector);
    }
}

TEST_F(EmulatePrivileged, AProgramLoadsItsOwnSegments) {
    in_program();
    cpu.registers.rcx = user_data;
    EXPECT_TRUE(is_done(run({0x8e, 0xd9}))) << "DS";
    EXPECT_TRUE(is_done(run({0x8e, 0xd1}))) << "SS";
    cpu.registers.rcx = kernel_data;
    EXPECT_TRUE(refuses({0x8e, 0xd9}, gp(kernel_data))) << "DS of the kernel";
    EXPECT_TRUE(refuses({0x8e, 0xd1}, gp(kernel_data))) << "SS of the kernel";
    cpu.registers.rcx = kernel_data | 3;
    EXPECT_TRUE(refuses({0x8e, 0xd1}, gp(kernel_data))) << "SS of the kernel, with RPL 3";
    cpu.registers.rcx = user_data & ~3U;
    EXPECT_TRUE(refuses({0x8e, 0xd1}, gp(user_data & ~3U))) << "SS of ring 3, with RPL 0";
    cpu.registers.rcx = conforming_code;
    EXPECT_TRUE(is_done(run({0x8e, 0xd9}))) << "conforming code has no DPL for data";
}

TEST_F(EmulatePrivileged, AFarJumpLoadsCs) {
    EXPECT_TRUE(forgets(run({0xea, 0x78, 0x56, 0x34, 0x12, kernel_code, 0}), nothing));
    EXPECT_EQ(cpu.registers.rip, 0x1234'5678U);
    EXPECT_EQ(cpu.selector(SegmentName::Cs), kernel_code);
    for (const unsigned rpl : {0U, 1U, 2U, 3U}) {
        EXPECT_TRUE(is_done(run({0xea, 0, 0x90, 0, 0, conforming_code | rpl, 0})));
        EXPECT_EQ(cpu.selector(SegmentName::Cs), conforming_code)
            << "conforming code by RPL " << rpl << ": CS has the guest's CPL";
    }
    EXPECT_TRUE(refuses({0xea, 0, 0, 0, 0, 0, 0}, gp(0)));
    EXPECT_TRUE(refuses({0xea, 0, 0, 0, 0, none, 0}, gp(none)));
    EXPECT_TRUE(refuses({0xea, 0, 0, 0, 0, kernel_data, 0}, gp(kernel_data)));
    EXPECT_TRUE(refuses({0xea, 0, 0, 0, 0, user_code, 0}, gp(user_code & ~3U)));
    EXPECT_TRUE(refuses({0xea, 0, 0, 0, 0, user_code & ~3U, 0}, gp(user_code & ~3U)))
        << "code of ring 3 by RPL 0";
    for (const unsigned rpl : {1U, 2U, 3U})
        EXPECT_TRUE(refuses({0xea, 0, 0, 0, 0, kernel_code | rpl, 0}, gp(kernel_code)))
            << "the kernel's code by RPL " << rpl;
    EXPECT_TRUE(refuses({0xea, 0, 0, 0, 0, absent_code, 0}, np(absent_code)));
    descriptor(busy_tss, 0x00cf'fe00'0000'ffff);
    EXPECT_TRUE(refuses({0xea, 0, 0, 0, 0, busy_tss, 0}, gp(busy_tss))) << "conforming, of ring 3";
    in_program();
    EXPECT_TRUE(is_done(run({0xea, 0, 0x90, 0, 0, user_code, 0})));
    EXPECT_TRUE(is_done(run({0xea, 0, 0x90, 0, 0, user_code & ~3U, 0})));
    EXPECT_EQ(cpu.selector(SegmentName::Cs), user_code) << "its RPL is the guest's CPL";
    EXPECT_TRUE(is_done(run({0xea, 0, 0x90, 0, 0, conforming_code, 0})));
    EXPECT_EQ(cpu.selector(SegmentName::Cs), conforming_code | 3) << "the ring stays";
    EXPECT_TRUE(refuses({0xea, 0, 0, 0, 0, kernel_code, 0}, gp(kernel_code)));
}

TEST_F(EmulatePrivileged, AProgramMayDoNoneOfTheOthers) {
    in_program();
    EXPECT_TRUE(refuses({0xfa}, gp(0))) << "CLI";
    EXPECT_TRUE(refuses({0xfb}, gp(0))) << "STI";
    EXPECT_TRUE(refuses({0xf4}, gp(0))) << "HLT";
    EXPECT_TRUE(refuses({0xee}, gp(0))) << "OUT";
    EXPECT_TRUE(refuses({0xec}, gp(0))) << "IN";
    EXPECT_TRUE(refuses({0x0f, 0x22, 0xd8}, gp(0))) << "MOV to CR3";
    EXPECT_TRUE(refuses({0x0f, 0x20, 0xd8}, gp(0))) << "MOV from CR3";
    EXPECT_TRUE(refuses({0x0f, 0x01, 0x3f}, gp(0))) << "INVLPG";
    EXPECT_TRUE(refuses({0x0f, 0x01, 0x13}, gp(0))) << "LGDT";
    EXPECT_TRUE(refuses({0x0f, 0x00, 0xd8}, gp(0))) << "LTR";
    EXPECT_TRUE(refuses({0x9c}, gp(0))) << "PUSHF";
    EXPECT_TRUE(refuses({0x9d}, gp(0))) << "POPF";
    EXPECT_TRUE(refuses({0x8c, 0xd8}, gp(0))) << "MOV from DS";
}

TEST_F(EmulatePrivileged, ControlRegistersRefuseWhatIsNotThere) {
    for (const std::uint32_t bit : {0x10U, 0x20U, 0x80U, 0x1U}) {
        cpu.registers.rax = bit;
        EXPECT_TRUE(refuses({0x0f, 0x22, 0xe0}, gp(0))) << "CR4 = " << hex(bit);
    }
    cpu.registers.rax = 0;
    EXPECT_TRUE(is_done(run({0x0f, 0x22, 0xe0}))) << "CR4 = 0";
    EXPECT_EQ(cpu.cr4, 0U) << "CR4";
    EXPECT_EQ(hex(cpu.cr0), hex(cr0_pe)) << "a write to CR4 leaves CR0";
    cpu.registers.rax = cr0_pg;
    EXPECT_TRUE(refuses({0x0f, 0x22, 0xc0}, gp(0))) << "CR0: PG without PE";
    cpu.registers.rax = 0x10;
    EXPECT_TRUE(refuses({0x0f, 0x22, 0xc0}, gp(0))) << "CR0 without PE";
    const GuestFault undefined{.vector = 6};
    EXPECT_TRUE(refuses({0x0f, 0x22, 0xc8}, undefined)) << "CR1";
    EXPECT_TRUE(refuses({0x0f, 0x20, 0xe8}, undefined)) << "CR5";
}

TEST_F(EmulatePrivileged, MemoryThatIsNotThereIsThePageFault) {
    with_paging(all, {0x7000});
    cpu.registers.rsp = 0x7004;
    EXPECT_TRUE(refuses({0x9c}, pf(2, 0x7000))) << "PUSHF";
    EXPECT_TRUE(refuses({0x9d}, pf(0, 0x7004))) << "POPF";
    cpu.registers.rbx = 0x6ffe;
    EXPECT_TRUE(refuses({0x0f, 0x01, 0x13}, pf(0, 0x7000))) << "LGDT";
    cpu.registers.rbx = 0x7000;
    EXPECT_TRUE(refuses({0x0f, 0x01, 0x1b}, pf(0, 0x7000))) << "LIDT, its first byte";
    memory().put<std::uint32_t>(table + 4 * (gdt / page), 0);
    cpu.registers.rax = tss;
    EXPECT_TRUE(refuses({0x0f, 0x00, 0xd8}, pf(0, gdt + tss))) << "LTR, and no GDT";
    cpu.registers.rax = user_data;
    EXPECT_TRUE(refuses({0x8e, 0xd8}, pf(0, gdt + (user_data & ~3U)))) << "DS, and no GDT";
    EXPECT_TRUE(refuses({0xea, 0, 0, 0, 0, kernel_code, 0}, pf(0, gdt + kernel_code)))
        << "a far jump, and no GDT";
    memory().put<std::uint32_t>(table + 4 * (gdt / page), gdt | p);
    cpu.tr = {};
    cpu.registers.rax = tss;
    EXPECT_TRUE(refuses({0x0f, 0x00, 0xd8}, pf(3, gdt + tss))) << "LTR of a read-only GDT";
    EXPECT_EQ(cpu.tr, vmm::soft::TaskRegister{}) << "TR is as it was";
}

TEST_F(EmulatePrivileged, TheKernelsMemoryIsReadByTheKernel) {
    with_paging(p | rw);  // the kernel's alone
    cpu.interrupts_enabled = true;
    cpu.registers.rbx = 0x7010;
    cpu.registers.rax = 0xffff'0000 | tss;
    EXPECT_TRUE(is_done(run({0x9c}))) << "PUSHF";
    EXPECT_TRUE(is_done(run({0x9d}))) << "POPF";
    EXPECT_TRUE(is_done(run({0x0f, 0x00, 0xd8}))) << "LTR";
    EXPECT_TRUE(is_done(run({0x0f, 0x01, 0x13}))) << "LGDT";
}

TEST_F(EmulatePrivileged, SelectorsFarBeyondTheGdtAndNull) {
    const auto load = [&](std::uint16_t selector, std::initializer_list<unsigned> bytes) {
        cpu.registers.rax = selector;
        return refuses(bytes, gp(selector));
    };
    EXPECT_TRUE(load(0x9200, {0x8e, 0xd8})) << "DS";
    EXPECT_TRUE(load(0x9200, {0x8e, 0xd0})) << "SS";
    EXPECT_TRUE(load(0x8900, {0x0f, 0x00, 0xd8})) << "LTR";
    EXPECT_TRUE(refuses({0xea, 0, 0, 0, 0, 0x00, 0x9a}, gp(0x9a00))) << "a far jump";
    EXPECT_TRUE(load(user_data & ~3U, {0x8e, 0xd0})) << "SS of ring 3 with RPL 0";
    // The GDT's first entry means nothing.
    memory().put(gdt, memory().get<std::uint64_t>(gdt + kernel_data));
    EXPECT_TRUE(load(0, {0x8e, 0xd0})) << "SS";
    memory().put(gdt, memory().get<std::uint64_t>(gdt + tss));
    EXPECT_TRUE(load(0, {0x0f, 0x00, 0xd8})) << "LTR";
    memory().put(gdt, memory().get<std::uint64_t>(gdt + kernel_code));
    EXPECT_TRUE(refuses({0xea, 0, 0, 0, 0, 0, 0}, gp(0))) << "a far jump";
}

TEST_F(EmulatePrivileged, HighAddressesAndSelectors) {
    constexpr std::uint16_t high = 0x108;
    cpu.gdtr.limit = high + 7;
    descriptor(high, 0x1200'8934'5678'9abc);  // a TSS at 12345678, which ends with byte 9abc
    cpu.registers.rax = high;
    EXPECT_TRUE(is_done(run({0x0f, 0x00, 0xd8})));
    EXPECT_EQ(cpu.tr, (vmm::soft::TaskRegister{high, 0x1234'5678, 0x9abc}));
    EXPECT_EQ(memory().get<std::uint8_t>(gdt + high + 5), 0x8b) << "it is busy now";
    cpu.registers.rbx = 0x1'7010;
    memory().put<std::uint16_t>(0x1'7010, 0x1ff);
    memory().put<std::uint32_t>(0x1'7012, 0x8765'4321);
    EXPECT_TRUE(is_done(run({0x0f, 0x01, 0x1b})));
    EXPECT_EQ(cpu.idtr, (vmm::soft::DescriptorTable{0x8765'4321, 0x1ff}));
}

TEST_F(EmulatePrivileged, EachInstructionEndsTheShadow) {
    for (const std::initializer_list<unsigned> bytes : {std::initializer_list<unsigned>{0xfa},
                                                        {0x9c},
                                                        {0x9d},
                                                        {0xee},
                                                        {0x8e, 0xd9},
                                                        {0xea, 0, 0x90, 0, 0, kernel_code, 0}}) {
        in_kernel();
        cpu.registers.rcx = kernel_data;
        cpu.interrupt_shadow = true;
        EXPECT_TRUE(is_done(run(bytes)));
        EXPECT_FALSE(cpu.interrupt_shadow) << "behind " << hex(*bytes.begin());
    }
}

}  // namespace
}  // namespace lab
