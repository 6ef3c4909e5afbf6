// SPDX-License-Identifier: MIT
// Task lab4.handle_msr_access.
#include "vmm/exits/handle_msr_access.hh"

#include "exit_fixture.hh"

namespace lab {
namespace {

namespace efer = vmm::efer;
namespace msr = vmm::msr;
using Mode = vmm::X2Apic::Mode;

constexpr std::uint32_t apic_base_msr = 0x1b;
constexpr std::uint32_t task_priority = 0x808;
constexpr std::uint32_t spurious_vector = 0x80f;
constexpr std::uint32_t interrupt_command = 0x830;
constexpr std::uint64_t reset_pat = 0x0007'0406'0007'0406;

class HandleMsrAccess : public ExitTest {
   protected:
    void SetUp() override {
        ExitTest::SetUp();
        for (unsigned index = 0; index < vcpus; ++index) {
            fill_registers(index);
            fake(index).system.pat = reset_pat;
        }
        kern::arch::fake::set_cpuid(0x8000'0001, 0, {.edx = 1U << 25});
    }
    /// RDMSR or WRMSR of the guest.
    void access(std::uint32_t number, bool write, unsigned index = 0) {
        fake(index).pending = false;
        fake(index).injected.clear();
        fake(index).error_codes.clear();
        before_ = registers(index);
        EXPECT_TRUE(handle_msr_access(vcpu(index), {}, {.msr = number, .write = write}))
            << "the VM was ended by an MSR";
    }
    void write(std::uint32_t number, std::uint64_t value, unsigned index = 0) {
        const std::uint64_t garbage = random().next() << 32;
        registers(index).rax = garbage | (value & 0xffff'ffff);
        registers(index).rdx = garbage | value >> 32;
        access(number, true, index);
    }
    /// What the guest has in EDX and EAX behind RDMSR.
    std::uint64_t read(std::uint32_t number, unsigned index = 0) {
        access(number, false, index);
        EXPECT_TRUE(was_done(index)) << "RDMSR of " << hex(number);
        return registers(index).rdx << 32 | (registers(index).rax & 0xffff'ffff);
    }
    /// Whether the guest goes on behind the instruction, without an exception.
    ::testing::AssertionResult was_done(unsigned index = 0) {
        if (!fake(index).injected.empty())
            return ::testing::AssertionFailure()
                   << "exception " << int{fake(index).injected[0]} << " was injected";
        if (registers(index).rip == before_.rip + 1) return ::testing::AssertionSuccess();
        return ::testing::AssertionFailure()
               << "RIP is " << hex(registers(index).rip) << ", wanted " << hex(before_.rip + 1)
               << ": skip_instruction is called once";
    }
    /// Whether the guest got #GP(0), and nothing else happened.
    ::testing::AssertionResult was_refused(unsigned index = 0) {
        if (fake(index).injected != std::vector<std::uint8_t>{13})
            return ::testing::AssertionFailure() << "no #GP was injected";
        if (fake(index).error_codes[0] != 0U)
            return ::testing::AssertionFailure() << "the #GP has not the error code 0";
        return same_registers(registers(index), before_);
    }
    const Registers& before() const { return before_; }

   private:
    Registers before_{};
};

TEST_F(HandleMsrAccess, ReadsIntoEdxAndEax) {
    fake().system.pat = 0x0102'0304'0506'0708;
    access(msr::page_attribute_table, false);
    EXPECT_TRUE(was_done());
    Registers wanted = before();
    wanted.rip += 1;
    wanted.rax = 0x0506'0708;
    wanted.rdx = 0x0102'0304;
    EXPECT_TRUE(same_registers(registers(), wanted));
}

TEST_F(HandleMsrAccess, WritesFromEdxAndEax) {
    write(msr::page_attribute_table, 0x0706'0501'0004'0506);
    EXPECT_TRUE(was_done());
    EXPECT_EQ(fake().system.pat, 0x0706'0501'0004'0506U);
    Registers wanted = before();
    wanted.rip += 1;
    EXPECT_TRUE(same_registers(registers(), wanted)) << "WRMSR changes no register but RIP";
}

TEST_F(HandleMsrAccess, ReadsAndWritesEfer) {
    for (const std::uint64_t there :
         {efer::syscall_enable, efer::no_execute_enable | efer::long_mode_enable}) {
        fake().system.efer = there;
        EXPECT_EQ(read(msr::efer), there);
    }
    constexpr std::uint64_t value =
        efer::syscall_enable | efer::no_execute_enable | efer::long_mode_enable;
    write(msr::efer, value);
    EXPECT_TRUE(was_done());
    EXPECT_EQ(fake().system.efer, value);
}

TEST_F(HandleMsrAccess, KeepsLongModeActive) {
    fake().system.cr0 = vmm::cr0::paging | vmm::cr0::protection_enable;
    fake().system.efer = efer::long_mode_enable | efer::long_mode_active;
    write(msr::efer, efer::long_mode_enable | efer::no_execute_enable);
    EXPECT_TRUE(was_done()) << "LMA is written as 0 and stays 1";
    EXPECT_EQ(fake().system.efer,
              efer::long_mode_enable | efer::long_mode_active | efer::no_execute_enable);
    fake().system.cr0 = 0;
    fake().system.efer = 0;
    write(msr::efer, efer::long_mode_enable | efer::long_mode_active);
    EXPECT_TRUE(was_done()) << "LMA is written as 1 and stays 0";
    EXPECT_EQ(fake().system.efer, efer::long_mode_enable);
}

TEST_F(HandleMsrAccess, AsksCpuidForTheFastFxsave) {
    write(msr::efer, efer::fast_fxsave_restore);
    EXPECT_TRUE(was_done()) << "FFXSR on a machine that has it";
    EXPECT_EQ(fake().system.efer, efer::fast_fxsave_restore);
    kern::arch::fake::set_cpuid(0x8000'0001, 0, {.edx = ~(1U << 25)});
    write(msr::efer, efer::fast_fxsave_restore);
    EXPECT_TRUE(was_refused()) << "FFXSR on a machine that has it not";
}

TEST_F(HandleMsrAccess, RefusesReservedBitsOfEfer) {
    for (const std::uint64_t bit : {1ULL << 1, 1ULL << 9, 1ULL << 12, 1ULL << 13, 1ULL << 40}) {
        write(msr::efer, efer::syscall_enable | bit);
        EXPECT_TRUE(was_refused()) << "EFER, the bit " << hex(bit);
        EXPECT_EQ(fake().system.efer, 0U);
    }
}

TEST_F(HandleMsrAccess, RefusesToChangeLongModeUnderPaging) {
    fake().system.cr0 = vmm::cr0::paging | vmm::cr0::protection_enable;
    fake().system.efer = efer::long_mode_enable | efer::long_mode_active;
    write(msr::efer, efer::syscall_enable);
    EXPECT_TRUE(was_refused()) << "LME becomes 0 while paging is on";
    fake().system.efer = 0;
    write(msr::efer, efer::long_mode_enable);
    EXPECT_TRUE(was_refused()) << "LME becomes 1 while paging is on";
    write(msr::efer, efer::no_execute_enable);
    EXPECT_TRUE(was_done()) << "NXE may change while paging is on";
    write(msr::efer, efer::syscall_enable);
    EXPECT_TRUE(was_done()) << "SCE may change while paging is on";
}

TEST_F(HandleMsrAccess, RefusesWhatIsNoMemoryType) {
    for (unsigned byte = 0; byte < 8; ++byte)
        for (const std::uint64_t type : {2ULL, 3ULL, 8ULL, 0x80ULL}) {
            write(msr::page_attribute_table, type << (8 * byte));
            EXPECT_TRUE(was_refused()) << "memory type " << type << " in byte " << byte;
        }
    EXPECT_EQ(fake().system.pat, reset_pat) << "a refused write has changed the PAT";
    write(msr::page_attribute_table, 0);
    EXPECT_TRUE(was_done()) << "eight times uncached";
    write(msr::page_attribute_table, reset_pat);
    EXPECT_TRUE(was_done()) << "the value at reset, after refused ones";
}

TEST_F(HandleMsrAccess, TheTimeStampCounterHasAnOffset) {
    constexpr std::uint64_t now = 0x5'1234'5678;  // of the machine's counter
    kern::arch::fake::set_timestamp(now);
    fake().offset = 1ULL << 50;
    const std::uint64_t first = read(msr::time_stamp_counter);
    EXPECT_GE(first, now + (1ULL << 50)) << "the guest's offset is added";
    EXPECT_LT(first, now + (1ULL << 50) + 1'000'000);
    const std::uint64_t before_write = kern::arch::timestamp();
    write(msr::time_stamp_counter, 5ULL << 56);
    EXPECT_TRUE(was_done());
    // The machine's counter when the guest's had the value that was written.
    const std::uint64_t then = (5ULL << 56) - fake().offset;
    EXPECT_TRUE(then >= before_write && then <= kern::arch::timestamp())
        << "it counts on from what was written, so the offset is the value minus the machine's";
    write(msr::time_stamp_counter, 0);
    EXPECT_LT(read(msr::time_stamp_counter), 1ULL << 40) << "it counts on from 0";
}

TEST_F(HandleMsrAccess, ReadsAndWritesTheApic) {
    write(task_priority, 0x50);
    EXPECT_TRUE(was_done());
    EXPECT_EQ(vcpu().apic().task_priority(), 0x50);
    EXPECT_EQ(read(task_priority), 0x50U);
    EXPECT_EQ(read(0x802, 1), 1U) << "the identifier of vCPU 1";
    EXPECT_EQ(read(0x803) & 0xff, 0x14U) << "the version";
}

TEST_F(HandleMsrAccess, TheApicHasTheMachinesTime) {
    constexpr std::uint32_t timer_vector = 0x832, initial_count = 0x838, current_count = 0x839,
                            divide = 0x83e, by_one = 0xb, ticks = 1'000'000;  // of 1 ns
    kern::arch::fake::set_timestamp(0x5'1234'5678);
    write(divide, by_one);
    write(timer_vector, 0x40);
    write(initial_count, ticks);
    EXPECT_TRUE(was_done());
    kern::arch::fake::set_timestamp(0x5'1234'5678 + ticks / 2);
    const std::uint64_t left = read(current_count);
    EXPECT_TRUE(left > ticks / 4 && left < ticks * 3 / 4)
        << "half of the time is over, and of " << ticks << " ticks there are left " << left
        << ": X2Apic::read and write want kern::arch::nanoseconds()";
}

TEST_F(HandleMsrAccess, SendsWhatTheApicHandsBack) {
    write(interrupt_command, 0x0000'0001'0000'0045);
    EXPECT_TRUE(was_done());
    EXPECT_TRUE(vcpu(1).apic().has_request()) << "vector 0x45 was sent to vCPU 1";
    EXPECT_FALSE(vcpu(0).apic().has_request());
    write(0x83f, 0x61, 1);
    EXPECT_TRUE(was_done(1));
    EXPECT_EQ(vcpu(1).apic().deliverable(), 0x61) << "vector 0x61 was sent by vCPU 1 to itself";
    EXPECT_FALSE(vcpu(0).apic().has_request());
}

TEST_F(HandleMsrAccess, RefusesWhatTheApicRefuses) {
    write(task_priority, 0x100);
    EXPECT_TRUE(was_refused()) << "a task priority of 9 bits";
    write(0x802, 7);
    EXPECT_TRUE(was_refused()) << "the identifier is read-only";
    access(0x80b, false);
    EXPECT_TRUE(was_refused()) << "EOI is write-only";
    access(0x8ff, false);
    EXPECT_TRUE(was_refused()) << "the last number of the APIC is none of its registers";
}

TEST_F(HandleMsrAccess, ApicBaseTellsTheMode) {
    EXPECT_EQ(read(apic_base_msr, 0), 0xfee0'0d00U) << "vCPU 0, x2APIC mode";
    EXPECT_EQ(read(apic_base_msr, 1), 0xfee0'0c00U) << "vCPU 1, x2APIC mode";
    vcpu(1).apic().set_mode(Mode::Xapic);
    EXPECT_EQ(read(apic_base_msr, 1), 0xfee0'0800U) << "vCPU 1, xAPIC mode";
    vcpu(1).apic().set_mode(Mode::Disabled);
    EXPECT_EQ(read(apic_base_msr, 1), 0xfee0'0000U) << "vCPU 1, disabled";
}

TEST_F(HandleMsrAccess, ApicBaseSwitchesTheMode) {
    struct Step {
        std::uint64_t value;
        Mode mode;
    };
    for (const auto& [value, mode] :
         {Step{0xfee0'0d00, Mode::X2apic}, Step{0xfee0'0100, Mode::Disabled},
          Step{0xfee0'0100, Mode::Disabled}, Step{0xfee0'0900, Mode::Xapic},
          Step{0xfee0'0900, Mode::Xapic}, Step{0xfee0'0100, Mode::Disabled},
          Step{0xfee0'0900, Mode::Xapic}, Step{0xfee0'0d00, Mode::X2apic}}) {
        write(apic_base_msr, value);
        EXPECT_TRUE(was_done()) << "APIC_BASE = " << hex(value);
        EXPECT_EQ(vcpu().apic().mode(), mode) << "APIC_BASE = " << hex(value);
    }
}

TEST_F(HandleMsrAccess, ApicBaseRefusesSomeWays) {
    write(apic_base_msr, 0xfee0'0900);
    EXPECT_TRUE(was_refused()) << "from x2APIC mode to xAPIC mode";
    write(apic_base_msr, 0xfee0'0500);
    EXPECT_TRUE(was_refused()) << "EXTD without EN";
    EXPECT_EQ(vcpu().apic().mode(), Mode::X2apic);
    vcpu().apic().set_mode(Mode::Disabled);
    write(apic_base_msr, 0xfee0'0d00);
    EXPECT_TRUE(was_refused()) << "from disabled to x2APIC mode";
    EXPECT_EQ(vcpu().apic().mode(), Mode::Disabled);
}

TEST_F(HandleMsrAccess, ApicBaseKeepsItsOtherBits) {
    for (const std::uint64_t value :
         {0xfee0'0c00ULL, 0xfed0'0d00ULL, 0x1'fee0'0d00ULL, 0xfee0'0d01ULL, 0xfee0'0f00ULL}) {
        write(apic_base_msr, value);
        EXPECT_TRUE(was_refused()) << "APIC_BASE = " << hex(value) << " of vCPU 0";
    }
}

TEST_F(HandleMsrAccess, TheApicHasMsrsInX2apicModeOnly) {
    for (const Mode mode : {Mode::Xapic, Mode::Disabled}) {
        vcpu().apic().set_mode(mode);
        access(task_priority, false);
        EXPECT_TRUE(was_refused()) << "RDMSR of the task priority, not in x2APIC mode";
        write(spurious_vector, 0x1ff);
        EXPECT_TRUE(was_refused()) << "WRMSR, not in x2APIC mode";
    }
}

TEST_F(HandleMsrAccess, HasRegistersThatAreZero) {
    for (const std::uint32_t number : {msr::microcode_patch_level, msr::debug_control})
        EXPECT_EQ(read(number), 0U) << "MSR " << hex(number);
    write(msr::debug_control, 0);
    EXPECT_TRUE(was_done()) << "0 into DEBUGCTL";
    for (const std::uint64_t value : {1ULL, 1ULL << 8, 1ULL << 16, 1ULL << 40}) {
        write(msr::debug_control, value);
        EXPECT_TRUE(was_refused()) << hex(value) << " into DEBUGCTL";
    }
    write(msr::microcode_patch_level, 0);
    EXPECT_TRUE(was_refused()) << "0 into the microcode patch level";
}

TEST_F(HandleMsrAccess, AnUnknownMsrIsAProtectionFault) {
    for (const std::uint32_t number : {0x1234U, 0x2ffU, 0x7ffU, 0x900U, 0xc001'0117U}) {
        access(number, false);
        EXPECT_TRUE(was_refused()) << "RDMSR of " << hex(number);
        access(number, true);
        EXPECT_TRUE(was_refused()) << "WRMSR of " << hex(number);
    }
}

TEST_F(HandleMsrAccess, AFaultLetsAnEventBeforeIt) {
    before();
    const Registers kept = registers();
    fake().pending = true;
    ASSERT_TRUE(handle_msr_access(vcpu(), {}, {.msr = 0x1234}));
    EXPECT_TRUE(fake().injected.empty()) << "an event was waiting, and was lost";
    EXPECT_TRUE(same_registers(registers(), kept));
}

}  // namespace
}  // namespace lab
