// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "kern/arch/arch.hh"
#include "kern/lib/panic.hh"
#include "kern/lib/print.hh"
#include "vmm/pager/kernel_vm.hh"
#include "vmm/probe.hh"
#include "vmm/svm/vmcb.hh"
#include "vmm/tests/boot/layout.h"
#include "vmm/vmx/vmx.hh"

/// Tests of the hypervisor on real virtualization: guests from guests.S, facts printed as lines
/// `fact KEY VALUE` for vmm/tests/test_boot.py, which knows what they must be.
namespace vmm::test {

/// A label in guests.S.
using Label = const std::byte[];
extern "C" Label guests_begin, guests_end;

/// The number of this boot, from the command line: guests give it back, so nothing that is printed
/// can be known before.
extern std::uint32_t nonce;

/// Where the guests' physical memory has `label`.
Gpa place(Label label);

/// Prints `fact GROUP.KEY VALUE`.
template <class Value>
void fact(std::string_view group, std::string_view key, const Value& value) {
    if constexpr (std::integral<Value> && !std::same_as<Value, bool>)
        kern::kprint("fact {}.{} 0x{:x}\n", group, key, static_cast<std::uint64_t>(value));
    else
        kern::kprint("fact {}.{} {}\n", group, key, value);
}

/// A pager that has the guests of guests.S, zeroed memory, and one page whose first word is given.
/// Nothing of it is present before the guest touches it, but for the multiboot2 information.
std::unique_ptr<KernelVmPager> make_pager(const std::uint32_t& watched_word);

/// A VM with such a pager that begins at `entry`, with EAX = nonce and EBX = `what`.
struct Setup {
    std::string_view name;
    const std::byte* entry;
    std::uint32_t what = 0;
    unsigned vcpus = 1;
    std::uint64_t limit_ms = 30'000;
    VmObserver* observer = nullptr;
    bool open_ports = false;
};
KernelVm make_vm(const Setup& setup);

/// Runs it and prints how it ended as facts of its name: end, status, reason.
VmResult run(Vm& vm);

/// The guest's word at `address`, which must be present.
volatile std::uint32_t& word(const KernelVmPager& pager, std::uint64_t address);

/// What the handlers of one vCPU have written down, at `base` of the guest.
struct Results {
    const KernelVmPager& pager;
    std::uint64_t base = RESULTS;

    std::uint32_t at(std::uint64_t offset) const { return word(pager, base + offset); }
    std::uint32_t note(unsigned index) const { return at(NOTES + 4 * index); }
    std::uint32_t count(unsigned vector) const { return at(COUNTS + 4 * vector); }
    std::uint32_t error(unsigned vector) const { return at(ERRORS + 4 * vector); }
    bool returns_to(unsigned vector, Label label) const {
        return at(RETURNS + 4 * vector) == place(label).value();
    }
};

/// This machine's.
const Backend& backend();
/// Whether it is AMD's.
bool is_svm();
/// Finds it, and gives the guests its hypercall. Nothing, or why there is none.
const char* choose_backend();

/// Address of a vCPU's VMCB or VMCS.
Hpa control_block_of(VcpuBackend& vcpu);
/// The VMCB of a vCPU that does not run; on AMD.
svm::Vmcb& vmcb_of(VcpuBackend& vcpu);
/// Calls `work(vmx::Vmcs&)` with the VMCS of a vCPU that is on no CPU; on Intel.
template <class Work>
void with_vmcs(VcpuBackend& vcpu, Work work) {
    const bool enabled = kern::arch::disable_interrupts();
    const Hpa before = vmx::make_current(control_block_of(vcpu));
    vmx::CurrentVmcs vmcs;
    work(vmcs);
    vmx::clear(control_block_of(vcpu));
    vmx::make_current(before);
    kern::arch::restore_interrupts(enabled);
}

/// The last ASID or VPID of a vCPU that is on no CPU.
std::uint32_t address_space_of(VcpuBackend& vcpu);
/// Whether an event was on its way to the guest when it exited; of a vCPU that is on this CPU.
bool exit_interrupted_event(VcpuBackend& vcpu);

/// Counts the frames in use; the difference is printed when it goes, and must be 0.
class FrameBalance {
   public:
    explicit FrameBalance(std::string_view group);
    ~FrameBalance();
    FrameBalance(const FrameBalance&) = delete;
    FrameBalance& operator=(const FrameBalance&) = delete;

   private:
    std::string_view group_;
    std::uint64_t before_;
};

/// Runs `vcpu` on this CPU up to its next exit that is not an interrupt's, serving its pages. A hypercall
/// is done then: the vCPU goes on behind it.
Exit run_until_it_asks(VcpuBackend& vcpu, KernelVmPager& pager);

/// The same; panics if it was no hypercall.
void run_to_hypercall(VcpuBackend& vcpu, KernelVmPager& pager);

// The groups of facts, one file each.
void test_entry_failures();
void test_vmx_entry_failures();
void test_interrupts();
void test_reinjection();
void test_shootdown();
void test_sharing_a_cpu();
void test_kills();
void test_vcpu();
void test_stepping();
void test_hostile_guests();

}  // namespace vmm::test
