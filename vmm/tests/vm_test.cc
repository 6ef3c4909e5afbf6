// SPDX-License-Identifier: MIT
#include "vmm/vm.hh"

#include <gtest/gtest.h>

#include <array>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "kern/arch/host/fake.hh"
#include "vmm/hypercall.hh"
#include "vmm/pager/kernel_vm.hh"
#include "vmm/tests/support/fake_vcpu.hh"
#include "vmm/tests/support/pager_fixture.hh"

namespace vmm {
namespace {

namespace fake = kern::arch::fake;

using kern::test::fails_with;
using test::FakeVcpu;

std::vector<FakeVcpu::Guest>* guests_to_be = nullptr;

const Backend fake_backend = test::fake_backend(
    [](const GuestMemory&) -> std::expected<std::unique_ptr<VcpuBackend>, Error> {
        auto vcpu = std::make_unique<FakeVcpu>();
        vcpu->guest = guests_to_be->front();
        guests_to_be->erase(guests_to_be->begin());
        return vcpu;
    });

Exit exits_with(auto reason) {
    return {.reason = reason};
}

/// The exit of a guest that writes `value` into `msr`.
Exit write_msr(FakeVcpu& self, std::uint32_t msr, std::uint64_t value) {
    self.registers.rax = value & 0xffff'ffff;
    self.registers.rdx = value >> 32;
    return exits_with(exit::MsrAccess{.msr = msr, .write = true});
}

Exit read_msr(FakeVcpu& self, std::uint32_t msr) {
    (void)self;
    return exits_with(exit::MsrAccess{.msr = msr});
}

/// EDX and EAX.
std::uint64_t msr_value(const FakeVcpu& self) {
    return self.registers.rdx << 32 | self.registers.rax;
}

Exit end_with(FakeVcpu& self, std::uint64_t status) {
    self.registers.rax = hypercall::exit;
    self.registers.rbx = status;
    self.registers.rdx = hypercall::signature;
    return exits_with(exit::Hypercall{});
}

class VirtualMachine : public testing::Test {
   protected:
    void SetUp() override {
        fake::reset();
        ASSERT_TRUE(Vm::prepare(fake_backend));
    }
    KernelVm make(std::vector<FakeVcpu::Guest> guests, std::uint64_t limit_ms = 0,
                  bool open_ports = false) {
        auto pager = KernelVmPager::create(npt_format);
        EXPECT_TRUE(pager.has_value());
        EXPECT_TRUE(PagerTestAccess::loaders(**pager).add(Loader::zeros(Gpa{0}, Gpa{0x10'0000})));
        const auto count = static_cast<unsigned>(guests.size());
        guests_to_be = &guests;
        auto vm = KernelVm::create(std::move(*pager),
                                   {.name = "test",
                                    .vcpu_count = count,
                                    .time_limit_ms = limit_ms,
                                    .open_ports = open_ports},
                                   {});
        EXPECT_TRUE(vm.has_value());
        return vm ? std::move(*vm) : KernelVm{};
    }
    static FakeVcpu& vcpu(Vm& vm, unsigned index) {
        return static_cast<FakeVcpu&>(vm.vcpu(index).backend());
    }
};

TEST_F(VirtualMachine, EndsWithTheStatusOfTheGuest) {
    auto vm = make({[](FakeVcpu& self) { return end_with(self, 7); }});
    const VmResult result = vm->run();
    EXPECT_EQ(result.end, VmResult::End::Exited);
    EXPECT_EQ(result.status, 7U);
    EXPECT_EQ(vm->exits(), 1U);
    EXPECT_EQ(vcpu(*vm, 0).entered, 1);
    EXPECT_EQ(vcpu(*vm, 0).left, 1) << "its FPU state stays on the CPU";
}

TEST_F(VirtualMachine, StartsAsMultiboot2Says) {
    std::uint64_t eax = 0;
    auto vm = make({[&](FakeVcpu& self) {
        eax = self.registers.rax;
        return end_with(self, 0);
    }});
    (void)vm->run();
    EXPECT_EQ(eax, 0x36d76289U);
}

TEST_F(VirtualMachine, MoreVcpusThanCpusAreRefused) {
    fake::reset(fake::Options{.cpus = 2});
    auto pager = KernelVmPager::create(npt_format);
    ASSERT_TRUE(pager.has_value());
    const auto vm = KernelVm::create(std::move(*pager), {.name = "test", .vcpu_count = 3}, {});
    ASSERT_FALSE(vm.has_value());
    EXPECT_EQ(vm.error().error, Error::InvalidArgument);
    EXPECT_NE(std::string{vm.error().reason}.find("more virtual CPUs"), std::string::npos);
}

TEST_F(VirtualMachine, AllHaltedForEverIsAFailure) {
    auto vm = make({[](FakeVcpu&) { return exits_with(exit::Halt{}); },
                    [](FakeVcpu&) { return exits_with(exit::Halt{}); }});
    const VmResult result = vm->run();
    EXPECT_EQ(result.end, VmResult::End::Failed);
    EXPECT_STREQ(result.reason, "all virtual CPUs are halted for ever");
    EXPECT_NE(fake::console().find("all virtual CPUs are halted for ever"), std::string::npos);
}

TEST_F(VirtualMachine, TheTimeLimitStopsALoop) {
    auto vm = make({[](FakeVcpu&) { return exits_with(exit::ExternalInterrupt{}); },
                    [](FakeVcpu&) { return exits_with(exit::ExternalInterrupt{}); }},
                   1);
    EXPECT_EQ(vm->run().end, VmResult::End::Stopped);
}

TEST_F(VirtualMachine, TheApicTimerWakesAHaltedVcpu) {
    int step = 0;
    auto vm = make({[&](FakeVcpu& self) {
        self.registers.rflags |= rflags::interrupt_enable;
        switch (step++) {
            case 0: return write_msr(self, 0x80f, 0x1ff);
            case 1: return write_msr(self, 0x83e, 0xb);
            case 2: return write_msr(self, 0x832, 0x40);
            case 3: return write_msr(self, 0x838, 1'000'000);
            case 4: return exits_with(exit::Halt{});
            default: return end_with(self, self.injected.size());
        }
    }});
    const VmResult result = vm->run();
    EXPECT_EQ(result.end, VmResult::End::Exited) << result.reason;
    EXPECT_EQ(vcpu(*vm, 0).injected, std::vector<std::uint8_t>{0x40});
}

// Whatever is asked of the timer, the guest executes instructions.
TEST_F(VirtualMachine, ATimerThatAlwaysRunsOutLeavesTheGuestRunning) {
    for (const bool enabled : {false, true}) {
        int step = 0;
        auto vm = make({[&](FakeVcpu& self) {
                           if (enabled) self.registers.rflags |= rflags::interrupt_enable;
                           switch (step++) {
                               case 0: return write_msr(self, 0x80f, 0x1ff);
                               case 1: return write_msr(self, 0x83e, 0xb);
                               case 2: return write_msr(self, 0x832, 0x2'0040);
                               case 3: return write_msr(self, 0x838, 1);
                               default: break;
                           }
                           if (step < 1000) return exits_with(exit::Cpuid{});
                           return end_with(self, self.injected.size());
                       }},
                       10'000);
        const VmResult result = vm->run();
        EXPECT_EQ(result.end, VmResult::End::Exited) << result.reason;
        EXPECT_EQ(result.status, enabled ? 1U : 0U) << "no EOI";
    }
}

TEST_F(VirtualMachine, Cr8WakesAHaltedVcpu) {
    int step = 0;
    auto vm = make({[&](FakeVcpu& self) {
        switch (step++) {
            case 0: return write_msr(self, 0x808, 0x30);
            case 1: return write_msr(self, 0x83f, 0x31);
            case 2:
                EXPECT_EQ(self.registers.cr8, 3U);
                self.registers.cr8 = 0;
                self.registers.rflags |= rflags::interrupt_enable;
                return exits_with(exit::Halt{});
            default: return end_with(self, self.injected.size());
        }
    }});
    const VmResult result = vm->run();
    EXPECT_EQ(result.end, VmResult::End::Exited) << result.reason;
    EXPECT_EQ(result.status, 1U);
}

TEST_F(VirtualMachine, HaltedBehindAHigherPriorityIsForEver) {
    int step = 0;
    auto vm = make({[&](FakeVcpu& self) {
        self.registers.rflags |= rflags::interrupt_enable;
        switch (step++) {
            case 0: return write_msr(self, 0x808, 0x30);
            case 1: return write_msr(self, 0x83f, 0x31);
            default: return exits_with(exit::Halt{});
        }
    }});
    EXPECT_STREQ(vm->run().reason, "all virtual CPUs are halted for ever");
}

TEST_F(VirtualMachine, InitClearsTheTaskPriority) {
    int step = 0;
    std::vector<unsigned> priorities;
    auto vm = make({[&](FakeVcpu& self) {
                        self.registers.rflags |= rflags::interrupt_enable;
                        // It says when it is up, by an interrupt.
                        if (self.injected.size() < static_cast<std::size_t>(step / 2))
                            return exits_with(exit::Halt{});
                        switch (step++) {
                            case 0:
                            case 2: return write_msr(self, 0x830, 0x0000'0001'0000'4500);
                            case 1:
                            case 3: return write_msr(self, 0x830, 0x0000'0001'0000'4608);
                            default: return end_with(self, 0);
                        }
                    },
                    [&, starts = std::size_t{0}](FakeVcpu& self) mutable {
                        if (starts == self.startups.size()) return exits_with(exit::Halt{});
                        starts = self.startups.size();
                        priorities.push_back(self.registers.cr8);
                        self.registers.cr8 = 7;
                        return write_msr(self, 0x830, starts == 1 ? 0x51 : 0x61);
                    }});
    EXPECT_EQ(vm->run().end, VmResult::End::Exited);
    EXPECT_EQ(priorities, (std::vector<unsigned>{0, 0}));
}

TEST_F(VirtualMachine, AnNmiThatIsBlockedWakesNobody) {
    int step = 0;
    auto vm = make({[&](FakeVcpu& self) {
        if (step++ == 0) return write_msr(self, 0x830, 0x4'0400);  // NMI to itself
        EXPECT_EQ(self.injected, std::vector<std::uint8_t>{2});
        self.in_nmi_handler = true;
        if (step == 2) return write_msr(self, 0x830, 0x4'0400);
        return exits_with(exit::Halt{});
    }});
    EXPECT_STREQ(vm->run().reason, "all virtual CPUs are halted for ever");
    EXPECT_EQ(step, 3);
}

TEST_F(VirtualMachine, TheTimeStampCounterTakesAValue) {
    int step = 0;
    std::uint64_t found = 0;
    auto vm = make({[&](FakeVcpu& self) {
        switch (step++) {
            case 0: return write_msr(self, 0x10, 1ULL << 60);
            case 1: return read_msr(self, 0x10);
            default: found = msr_value(self); return end_with(self, self.injected.size());
        }
    }});
    EXPECT_EQ(vm->run().status, 0U) << "an exception";
    EXPECT_GE(found, 1ULL << 60);
    EXPECT_LT(found - (1ULL << 60), kern::arch::timestamp_rate() * 3600);
    EXPECT_EQ((vcpu(*vm, 0).offset + kern::arch::timestamp()) >> 60, 1U) << "RDTSC agrees";
}

TEST_F(VirtualMachine, HypercallsOfOthersAreRefused) {
    struct Call {
        std::uint64_t number, signature;
        unsigned ring;
        std::uint64_t result;
    };
    constexpr std::array calls{
        Call{hypercall::exit, 0, 0, hypercall::no_signature},
        Call{hypercall::exit, hypercall::signature, 3, hypercall::no_privilege},
        Call{hypercall::mark, hypercall::signature, 1, hypercall::no_privilege},
        Call{99, hypercall::signature, 0, hypercall::bad_number},
    };
    std::size_t next = 0;
    std::vector<bool> results;
    auto vm = make({[&](FakeVcpu& self) {
        if (next != 0) results.push_back(self.registers.rax == calls[next - 1].result);
        self.ring = 0;
        if (next == calls.size()) return end_with(self, 5);
        self.registers.rax = calls[next].number;
        self.registers.rdx = calls[next].signature;
        self.ring = calls[next++].ring;
        return exits_with(exit::Hypercall{});
    }});
    EXPECT_EQ(vm->run().status, 5U);
    EXPECT_EQ(results, std::vector<bool>(calls.size(), true));
}

TEST_F(VirtualMachine, StartupAndAnInterruptBack) {
    int step = 0;
    auto vm = make({[&](FakeVcpu& self) {
                        self.registers.rflags |= rflags::interrupt_enable;
                        switch (step++) {
                            case 0: return write_msr(self, 0x830, 0x0000'0001'0000'4500);
                            case 1: return write_msr(self, 0x830, 0x0000'0001'0000'4608);
                            default: break;
                        }
                        if (self.injected.empty()) return exits_with(exit::Halt{});
                        return end_with(self, self.injected[0]);
                    },
                    [&, sent = false](FakeVcpu& self) mutable {
                        if (std::exchange(sent, true)) return exits_with(exit::Halt{});
                        return write_msr(self, 0x830, 0x51);
                    }});
    const VmResult result = vm->run();
    EXPECT_EQ(result.end, VmResult::End::Exited) << result.reason;
    EXPECT_EQ(result.status, 0x51U);
    EXPECT_EQ(vcpu(*vm, 1).startups, std::vector<std::uint8_t>{8});
}

TEST_F(VirtualMachine, AnInterruptThatMustWaitAsksForTheWindow) {
    int step = 0;
    bool window = false;
    auto vm = make({[&](FakeVcpu& self) {
        switch (step++) {
            case 0: return write_msr(self, 0x83f, 0x60);
            case 1:
                window = self.window;
                EXPECT_TRUE(self.injected.empty()) << "IF is clear";
                self.registers.rflags |= rflags::interrupt_enable;
                return exits_with(exit::InterruptWindow{});
            default: return end_with(self, self.injected.size());
        }
    }});
    EXPECT_EQ(vm->run().status, 1U);
    EXPECT_TRUE(window);
}

TEST_F(VirtualMachine, AnUnknownMsrRaisesAProtectionFault) {
    int step = 0;
    std::uint64_t rip = 0;
    auto vm = make({[&](FakeVcpu& self) {
        if (step++ == 0) {
            rip = self.registers.rip;
            return exits_with(exit::MsrAccess{.msr = 0x1234});
        }
        EXPECT_EQ(self.registers.rip, rip) << "a fault, not a trap";
        return end_with(self, self.injected.at(0));
    }});
    EXPECT_EQ(vm->run().status, 13U);
}

TEST_F(VirtualMachine, AnUnknownPortEndsIt) {
    auto vm = make({[](FakeVcpu&) { return exits_with(exit::PortAccess{.port = 0x1234}); }});
    const VmResult result = vm->run();
    EXPECT_EQ(result.end, VmResult::End::Failed);
    EXPECT_NE(fake::console().find("port        0x1234, OUT of 1 byte\n"), std::string::npos)
        << fake::console();
}

TEST_F(VirtualMachine, OpenPortsAreAnEmptyBus) {
    int step = 0;
    auto vm =
        make({[&](FakeVcpu& self) {
                 switch (step++) {
                     case 0: return exits_with(exit::PortAccess{.port = 0x1234, .size = 4});
                     case 1:
                         return exits_with(exit::PortAccess{.port = 0xffff, .size = 2, .in = true});
                     default: return end_with(self, self.registers.rax);
                 }
             }},
             0, true);
    EXPECT_EQ(vm->run().status & 0xffff, 0xffffU);
}

TEST_F(VirtualMachine, AnAccessIsServedIfOneOfItsPortsIs) {
    int step = 0;
    auto vm = make({[&](FakeVcpu& self) {
        switch (step++) {
            case 0: return exits_with(exit::PortAccess{.port = 0xf4, .size = 4});
            case 1: return exits_with(exit::PortAccess{.port = 0xf7, .size = 1});
            case 2: return exits_with(exit::PortAccess{.port = 0x3f5, .size = 4});
            case 3: return exits_with(exit::PortAccess{.port = 0x3fd, .size = 4, .in = true});
            case 4:
                EXPECT_EQ(self.registers.rax, 0xff00'b060U);
                return exits_with(exit::PortAccess{.port = 0x3ff, .size = 4, .in = true});
            case 5:
                EXPECT_EQ(self.registers.rax, 0xffff'ff00U);
                return exits_with(exit::PortAccess{.port = 0x400, .size = 1, .in = true});
            default: return end_with(self, 0);
        }
    }});
    const VmResult result = vm->run();
    EXPECT_STREQ(result.reason, "IN from a port that no device serves");
    EXPECT_EQ(step, 6);
}

TEST_F(VirtualMachine, EachVcpuFindsItsOwnApicInThePage) {
    constexpr Gpa id = ApicPage::address + 0x20, priority = ApicPage::address + 0x80,
                  command = ApicPage::address + 0x300, destination = ApicPage::address + 0x310;
    auto vm = make({[](FakeVcpu& self) { return end_with(self, 0); },
                    [](FakeVcpu& self) { return end_with(self, 0); }});
    MmioBus& bus = vm->mmio();
    EXPECT_TRUE(fails_with(bus.read(0, id, 4), Error::NotFound)) << "not in x2APIC mode";
    EXPECT_TRUE(fails_with(bus.write(0, priority, 4, 0x50), Error::NotFound));
    for (unsigned index = 0; index < 2; ++index)
        vm->vcpu(index).apic().set_mode(X2Apic::Mode::Xapic);
    EXPECT_EQ(bus.read(0, id, 4), 0U);
    EXPECT_EQ(bus.read(1, id, 4), 1U << 24);
    ASSERT_TRUE(bus.write(1, priority, 4, 0x50));
    EXPECT_EQ(vm->vcpu(0).apic().task_priority(), 0);
    EXPECT_EQ(vm->vcpu(1).apic().task_priority(), 0x50);
    ASSERT_TRUE(bus.write(0, destination, 4, 1U << 24));
    EXPECT_FALSE(vm->vcpu(1).apic().has_request());
    ASSERT_TRUE(bus.write(0, command, 4, 0x61));
    EXPECT_EQ(vm->vcpu(1).apic().deliverable(), 0x61) << "sent to vCPU 1, and not to vCPU 0";
    EXPECT_FALSE(vm->vcpu(0).apic().has_request());
    for (const unsigned size : {1U, 2U, 8U})
        EXPECT_TRUE(fails_with(bus.read(0, id, size), Error::Unsupported)) << size << " bytes";
    EXPECT_TRUE(fails_with(bus.write(0, id + 4, 4, 0), Error::Unsupported));
    EXPECT_TRUE(fails_with(bus.read(0, ApicPage::address + 0xffe, 4), Error::OutOfRange));
}

TEST_F(VirtualMachine, TheIoApicSendsToOneOfThoseThatAreAddressed) {
    auto vm = make({[](FakeVcpu& self) { return end_with(self, 0); },
                    [](FakeVcpu& self) { return end_with(self, 0); }});
    const auto write = [&](std::uint64_t index, std::uint64_t value) {
        EXPECT_TRUE(vm->mmio().write(0, IoApic::address, 4, index));
        EXPECT_TRUE(vm->mmio().write(0, IoApic::address + 0x10, 4, value));
    };
    constexpr std::uint64_t entry = 0x10 + 2 * MmioConsole::line, lowest_priority = 1U << 8;
    write(entry + 1, 0xff00'0000);
    write(entry, lowest_priority | 0x61);
    ASSERT_TRUE(vm->mmio().write(1, MmioConsole::address + 0xc, 4, 1));
    ASSERT_TRUE(vm->mmio().write(1, MmioConsole::address, 1, 'x'));
    EXPECT_TRUE(vm->vcpu(0).apic().has_request());
    EXPECT_FALSE(vm->vcpu(1).apic().has_request()) << "lowest priority: one of them";
    write(entry, 0x62);
    ASSERT_TRUE(vm->mmio().write(1, MmioConsole::address, 1, 'x'));
    EXPECT_EQ(vm->vcpu(1).apic().deliverable(), 0x62) << "fixed: each of them";
}

TEST_F(VirtualMachine, AMemoryThatOutlivesItForgetsIt) {
    auto pager = KernelVmPager::create(npt_format);
    ASSERT_TRUE(pager.has_value());
    ASSERT_TRUE(PagerTestAccess::loaders(**pager).add(Loader::zeros(Gpa{0}, Gpa{0x10'0000})));
    ASSERT_TRUE((*pager)->load_page(Gpa{0x1000}));
    std::vector<FakeVcpu::Guest> guests{[](FakeVcpu& self) { return end_with(self, 0); }};
    guests_to_be = &guests;
    auto vm = Vm::create(**pager, {.name = "test"});
    ASSERT_TRUE(vm.has_value());
    vm->reset();
    const auto page = (*pager)->table().unmap(Gpa{0x1000});
    ASSERT_TRUE(page.has_value());
    kern::frames().free(frame_owner::guest_memory, page->address);
    EXPECT_TRUE(fake::shootdowns().empty());
}

TEST_F(VirtualMachine, AShootdownFlushesEveryVcpuBeforeItInterrupts) {
    KernelVm vm;
    int flushed_at_interrupt = 0;
    bool removed = false;
    vm = make({[&](FakeVcpu& self) {
                   while (!vm->vcpu(1).cpu()) kern::arch::relax();  // it is on its CPU
                   removed = vm.pager().table().unmap(Gpa{0}).has_value();
                   return end_with(self, 0);
               },
               [](FakeVcpu&) { return exits_with(exit::Halt{}); }});
    fake::on_interrupt_and_wait(
        [&](std::uint64_t) { flushed_at_interrupt = vcpu(*vm, 0).flushes + vcpu(*vm, 1).flushes; });
    const std::uint64_t guest_frames = kern::frames().accounts()[frame_owner::guest_memory.index];
    (void)vm->run();
    EXPECT_TRUE(removed);
    EXPECT_EQ(fake::shootdowns(), std::vector<std::uint64_t>{0b11});
    EXPECT_EQ(flushed_at_interrupt, 2);
    EXPECT_EQ(guest_frames, 1U) << "the information's page, which the guest has unmapped";
}

}  // namespace
}  // namespace vmm
