// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "kern/arch/host/fake.hh"
#include "labs/unit_fixture.hh"
#include "vmm/exits/exits.hh"
#include "vmm/pager/kernel_vm_pager.hh"
#include "vmm/tests/support/fake_vcpu.hh"
#include "vmm/vm.hh"
#include "vmm/x86.hh"

/// A virtual machine that does not run: the cases put its vCPUs where an exit leaves them, and call
/// a handler.
namespace lab {

using vmm::Exit;
using vmm::Registers;
using vmm::Vcpu;
using vmm::test::FakeVcpu;

/// A guest's memory. While a handler looks a page up, another vCPU may do something.
class WatchedMemory final : public vmm::GuestMemory {
   public:
    explicit WatchedMemory(vmm::GuestMemory& memory) : memory_{memory} {}

    /// Before this page is looked up next, `what` is done, once.
    void before_look(vmm::Gpa page, std::function<void()> what) {
        page_ = page.page();
        what_ = std::move(what);
    }

    kern::Hpa table_root() const override { return memory_.table_root(); }
    std::expected<void, Error> serve_fault(const vmm::exit::NestedPageFault& fault) override {
        return memory_.serve_fault(fault);
    }
    std::expected<kern::Hpa, Error> gpa2hpa(vmm::Gpa gpa) const override {
        if (what_ && gpa.page() == page_) std::exchange(what_, nullptr)();
        return memory_.gpa2hpa(gpa);
    }
    bool is_writable(vmm::Gpa gpa) const override { return memory_.is_writable(gpa); }
    void set_shootdown(Shootdown shootdown, void* context) override {
        memory_.set_shootdown(shootdown, context);
    }

   private:
    vmm::GuestMemory& memory_;
    vmm::Gpa page_{};
    mutable std::function<void()> what_;
};

class ExitTest : public ::testing::Test {
   protected:
    static constexpr unsigned vcpus = 2;

    void SetUp() override {
        kern::arch::fake::reset();
        ASSERT_TRUE(vmm::Vm::prepare(backend));
        pager_ = std::move(*vmm::KernelVmPager::create(vmm::npt_format));
        memory_ = std::make_unique<WatchedMemory>(*pager_);
        make_vm(false);
    }

    /// A new one in the place of the old, over the same memory.
    void make_vm(bool open_ports) {
        vm_.reset();
        vm_ = std::move(*vmm::Vm::create(
            *memory_, {.name = "test", .vcpu_count = vcpus, .open_ports = open_ports}));
        for (unsigned index = 0; index < vcpus; ++index) vcpu(index).make_runnable();
    }

    vmm::KernelVmPager& pager() { return *pager_; }
    WatchedMemory& watched_memory() { return *memory_; }
    vmm::Vm& vm() { return *vm_; }
    Vcpu& vcpu(unsigned index = 0) { return vm_->vcpu(index); }
    /// The hardware under it.
    FakeVcpu& fake(unsigned index = 0) { return static_cast<FakeVcpu&>(vcpu(index).backend()); }
    Registers& registers(unsigned index = 0) { return vcpu(index).registers(); }

    /// All registers that a general instruction can have for itself get values of their own, the
    /// upper halves too.
    void fill_registers(unsigned index = 0) {
        Registers& all = registers(index);
        for (const auto each : vmm::general_registers)
            all.*each = random().next() | 0x8000'0000'8000'0000;
        all.rip = 0x1000;
        all.rflags = 2;
    }

   private:
    static constexpr vmm::Backend backend = vmm::test::fake_backend(
        [](const vmm::GuestMemory&)
            -> std::expected<std::unique_ptr<vmm::VcpuBackend>, kern::Error> {
            return std::make_unique<FakeVcpu>();
        });
    std::unique_ptr<vmm::KernelVmPager> pager_;
    std::unique_ptr<WatchedMemory> memory_;
    std::unique_ptr<vmm::Vm> vm_;
};

/// RFLAGS in words: the arithmetic flags that are set, and the other bits as a number.
inline std::string in_words(std::uint64_t flags) {
    static constexpr std::pair<std::uint64_t, const char*> names[] = {
        {vmm::rflags::carry, "CF "},
        {vmm::rflags::parity, "PF "},
        {vmm::rflags::auxiliary_carry, "AF "},
        {vmm::rflags::zero, "ZF "},
        {vmm::rflags::sign, "SF "},
        {vmm::rflags::overflow, "OF "}};
    std::string words;
    for (const auto& [bit, name] : names) {
        if ((flags & bit) != 0) words += name;
        flags &= ~bit;
    }
    return words + "and " + hex(flags);
}

/// The general registers, RIP and RFLAGS that differ.
inline ::testing::AssertionResult same_registers(const Registers& seen, const Registers& wanted) {
    static constexpr const char* names[] = {"RAX", "RCX", "RDX", "RBX", "RSP", "RBP", "RSI", "RDI",
                                            "R8",  "R9",  "R10", "R11", "R12", "R13", "R14", "R15"};
    std::string words;
    const auto compare = [&words](const char* name, std::uint64_t is, std::uint64_t should) {
        if (is != should)
            words += std::string{name} + " is " + hex(is) + ", wanted " + hex(should) + "; ";
    };
    for (std::size_t i = 0; i < vmm::general_registers.size(); ++i)
        compare(names[i], seen.*vmm::general_registers[i], wanted.*vmm::general_registers[i]);
    compare("RIP", seen.rip, wanted.rip);
    if (seen.rflags != wanted.rflags)
        words +=
            "RFLAGS is " + in_words(seen.rflags) + ", wanted " + in_words(wanted.rflags) + "; ";
    if (words.empty()) return ::testing::AssertionSuccess();
    return ::testing::AssertionFailure() << words;
}

}  // namespace lab
