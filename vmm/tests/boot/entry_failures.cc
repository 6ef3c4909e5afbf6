// SPDX-License-Identifier: MIT
// VMCBs that VMRUN refuses, each broken in one way: the report must name the field and the rule.
#include "kern/arch/arch.hh"
#include "vmm/svm/consistency.hh"
#include "vmm/svm/exits.hh"
#include "vmm/svm/svm.hh"
#include "vmm/tests/boot/machine.hh"

namespace vmm::test {

extern "C" Label guest_finish;

namespace {

using svm::Vmcb;

constexpr std::uint64_t beyond_32_bits = 1ULL << 40;
constexpr std::uint64_t beyond_physical_memory = 1ULL << 54;

void set_long_mode(Vmcb& vmcb) {
    vmcb.save.efer |= efer::long_mode_enable;
    vmcb.save.cr0 |= cr0::paging;
    vmcb.save.cr4 |= cr4::physical_address_extension;
}

struct Break {
    const char* name;
    void (*apply)(Vmcb& vmcb);
};

constexpr std::array breaks{
    Break{"svme", [](Vmcb& v) { v.save.efer = 0; }},
    Break{"nw-without-cd", [](Vmcb& v) { v.save.cr0 |= cr0::not_write_through; }},
    Break{"cr0-upper", [](Vmcb& v) { v.save.cr0 |= beyond_32_bits; }},
    Break{"cr3-beyond",
          [](Vmcb& v) {
              set_long_mode(v);
              v.save.cr3 = beyond_physical_memory;
          }},
    Break{"cr4-upper", [](Vmcb& v) { v.save.cr4 |= beyond_32_bits; }},
    Break{"cr4-reserved", [](Vmcb& v) { v.save.cr4 |= 1ULL << 30; }},
    Break{"dr6-upper", [](Vmcb& v) { v.save.dr6 |= beyond_32_bits; }},
    Break{"dr7-upper", [](Vmcb& v) { v.save.dr7 |= beyond_32_bits; }},
    Break{"efer-reserved", [](Vmcb& v) { v.save.efer |= 1ULL << 30; }},
    Break{"long-mode-without-pae",
          [](Vmcb& v) {
              set_long_mode(v);
              v.save.cr4 &= ~cr4::physical_address_extension;
          }},
    Break{"paging-without-protection",
          [](Vmcb& v) {
              set_long_mode(v);
              v.save.cr0 &= ~cr0::protection_enable;
          }},
    Break{"cs-both",
          [](Vmcb& v) {
              set_long_mode(v);
              v.save.cs.attributes |= svm::segment::long_mode | svm::segment::size_32;
          }},
    Break{"vmrun-intercept", [](Vmcb& v) { v.control.intercept2 &= ~svm::intercept2::vmrun; }},
    Break{"iopm", [](Vmcb& v) { v.control.iopm_base = beyond_physical_memory; }},
    Break{"msrpm", [](Vmcb& v) { v.control.msrpm_base = beyond_physical_memory; }},
    Break{"event-type",
          [](Vmcb& v) { v.control.event_injection = svm::event::valid | 1U << 8 | 0x40; }},
    Break{"event-vector",
          [](Vmcb& v) {
              v.control.event_injection = svm::event::valid | svm::event::type_exception | 0x40;
          }},
    Break{"event-nmi",
          [](Vmcb& v) {
              v.control.event_injection = svm::event::valid | svm::event::type_exception | 2;
          }},
    Break{"n-cr3", [](Vmcb& v) { v.control.n_cr3 |= beyond_physical_memory; }},
    Break{"g-pat", [](Vmcb& v) { v.save.g_pat = 2; }},
};

void state_rule(std::string_view name, const exit::EntryFailure& failure) {
    fact(name, "field", std::string_view{failure.field});
    fact(name, "rule", std::string_view{failure.rule});
    fact(name, "value", failure.value);
}

void try_break(const Break& broken) {
    const FrameBalance balance{broken.name};
    const auto vm = make_vm({.name = broken.name, .entry = guest_finish, .limit_ms = 5000});
    broken.apply(vmcb_of(vm->vcpu(0).backend()));
    VcpuBackend& vcpu = vm->vcpu(0).backend();
    const SystemRegisters before = vcpu.system_registers();
    (void)run(*vm);
    const SystemRegisters after = vcpu.system_registers();
    const Exit& last = vm->vcpu(0).history().back(0);
    const auto* failure = std::get_if<exit::EntryFailure>(&last.reason);
    fact(broken.name, "refused", failure != nullptr);
    if (failure == nullptr) return;
    state_rule(broken.name, *failure);
    fact(broken.name, "guest-kept",
         vcpu.registers.rip == place(guest_finish).value() && before.cr0 == after.cr0 &&
             before.cr3 == after.cr3 && before.cr4 == after.cr4 && before.efer == after.efer);
}

/// run() sets the ASID anew each time, so this one is broken below it.
void try_asid(std::string_view name, std::uint32_t asid) {
    const FrameBalance balance{name};
    const auto pager = make_pager(nonce);
    auto vcpu = svm_backend.create_vcpu(*pager);
    kern::check(vcpu.has_value(), "no memory for a vCPU");
    (*vcpu)->start_protected_mode(place(guest_finish), nonce, 0);
    run_to_hypercall(**vcpu, *pager);
    Vmcb& vmcb = vmcb_of(**vcpu);
    vmcb.control.asid = asid;
    const bool enabled = kern::arch::disable_interrupts();
    (void)svm_probe.bare_run(**vcpu);
    kern::arch::restore_interrupts(enabled);
    const bool refused = svm::decode_exit(vmcb, 0).code == svm::exit_code::invalid;
    fact(name, "refused", refused);
    if (!refused) return;
    const auto failure = svm::find_broken_rule(vmcb, svm::cpu_limits());
    if (failure) state_rule(name, *failure);
}

}  // namespace

void test_entry_failures() {
    for (const Break& broken : breaks) try_break(broken);
    try_asid("asid-zero", 0);
    try_asid("asid-too-high", svm::cpu_limits().asid_count);
    (void)run(*make_vm({.name = "after-refusals", .entry = guest_finish}));
}

}  // namespace vmm::test
