// SPDX-License-Identifier: MIT
// VMCSs that the CPU refuses to enter, each broken in one way: the report must name the field and
// the rule. The rules are those of vmm/vmx/consistency.hh; the refusal is the CPU's own.
#include "vmm/tests/boot/machine.hh"
#include "vmm/vmx/consistency.hh"

namespace vmm::test {

extern "C" Label guest_finish;

namespace {

using vmx::Field;
using vmx::Vmcs;

constexpr std::uint64_t beyond_32_bits = 1ULL << 40;
constexpr std::uint64_t beyond_physical_memory = 1ULL << 50;
constexpr std::uint64_t not_canonical = 1ULL << 60;
constexpr std::uint32_t injected = vmx::interruption::valid;

/// Sets bits of a field.
void add(Vmcs& vmcs, Field field, std::uint64_t bits) {
    vmcs.write(field, vmcs.read(field) | bits);
}
void remove(Vmcs& vmcs, Field field, std::uint64_t bits) {
    vmcs.write(field, vmcs.read(field) & ~bits);
}

struct Break {
    const char* name;
    void (*apply)(Vmcs& vmcs);
};

/// In what stays as it is when a vCPU comes to a CPU.
constexpr std::array breaks{
    Break{"pin-controls", [](Vmcs& v) { v.write(Field::pin_based_controls, 0); }},
    Break{"entry-controls", [](Vmcs& v) { v.write(Field::entry_controls, 0); }},
    Break{
        "secondary-controls",
        [](Vmcs& v) { remove(v, Field::secondary_controls, vmx::secondary_control::enable_ept); }},
    Break{"cr3-targets", [](Vmcs& v) { v.write(Field::cr3_target_count, 5); }},
    Break{"io-bitmap", [](Vmcs& v) { add(v, Field::io_bitmap_b, 1); }},
    Break{"msr-bitmaps", [](Vmcs& v) { add(v, Field::msr_bitmaps, beyond_physical_memory); }},
    Break{"virtual-apic", [](Vmcs& v) { add(v, Field::virtual_apic_address, 8); }},
    Break{"ept-type", [](Vmcs& v) { add(v, Field::ept_pointer, 1); }},
    Break{"ept-levels", [](Vmcs& v) { remove(v, Field::ept_pointer, 1U << 3); }},
    Break{"ept-reserved", [](Vmcs& v) { add(v, Field::ept_pointer, beyond_physical_memory); }},
    Break{"event-type",
          [](Vmcs& v) {
              v.write(Field::entry_interruption_information,
                      injected | vmx::interruption::reserved_type);
          }},
    Break{"event-nmi",
          [](Vmcs& v) {
              v.write(Field::entry_interruption_information, injected | vmx::interruption::nmi | 3);
          }},
    Break{"event-vector",
          [](Vmcs& v) {
              v.write(Field::entry_interruption_information,
                      injected | vmx::interruption::hardware_exception | 32);
          }},
    Break{"event-error-code",
          [](Vmcs& v) {
              v.write(
                  Field::entry_interruption_information,
                  injected | vmx::interruption::hardware_exception | vector::general_protection);
          }},
    Break{"event-without-if",
          [](Vmcs& v) { v.write(Field::entry_interruption_information, injected | 0x40); }},
    Break{"cr0-fixed", [](Vmcs& v) { v.write(Field::guest_cr0, 0x11); }},
    Break{"cr0-upper", [](Vmcs& v) { add(v, Field::guest_cr0, beyond_32_bits); }},
    Break{"paging-without-protection", [](Vmcs& v) { v.write(Field::guest_cr0, 0x8000'0030); }},
    Break{"cr4-fixed", [](Vmcs& v) { v.write(Field::guest_cr4, 0); }},
    Break{"cr3-beyond", [](Vmcs& v) { v.write(Field::guest_cr3, beyond_physical_memory); }},
    Break{"dr7-upper", [](Vmcs& v) { add(v, Field::guest_dr7, beyond_32_bits); }},
    Break{"pat", [](Vmcs& v) { v.write(Field::guest_pat, 2); }},
    Break{"efer-reserved", [](Vmcs& v) { v.write(Field::guest_efer, 2); }},
    Break{"efer-lma", [](Vmcs& v) { v.write(Field::guest_efer, efer::long_mode_active); }},
    Break{"long-mode-without-paging",
          [](Vmcs& v) {
              add(v, Field::entry_controls, vmx::entry_control::ia32e_mode_guest);
              v.write(Field::guest_efer, efer::long_mode_active | efer::long_mode_enable);
          }},
    Break{"tr-unusable",
          [](Vmcs& v) { v.write(Field::guest_tr_access_rights, vmx::access_rights::unusable); }},
    Break{"cs-type", [](Vmcs& v) { v.write(Field::guest_cs_access_rights, 0xc091); }},
    Break{"ss-absent",
          [](Vmcs& v) { remove(v, Field::guest_ss_access_rights, vmx::access_rights::present); }},
    Break{"ds-granularity", [](Vmcs& v) { v.write(Field::guest_ds_limit, 0xffff'0000); }},
    Break{"fs-base", [](Vmcs& v) { v.write(Field::guest_fs_base, not_canonical); }},
    Break{"gdtr-limit", [](Vmcs& v) { v.write(Field::guest_gdtr_limit, 0x1'0000); }},
    Break{"activity", [](Vmcs& v) { v.write(Field::guest_activity_state, 4); }},
    Break{"interruptibility", [](Vmcs& v) { v.write(Field::guest_interruptibility_state, 3); }},
    Break{"sti-without-if", [](Vmcs& v) { v.write(Field::guest_interruptibility_state, 1); }},
    Break{"link-pointer", [](Vmcs& v) { v.write(Field::vmcs_link_pointer, 8); }},
};

/// In what is written when a vCPU comes to a CPU: these are broken afterwards.
constexpr std::array late_breaks{
    Break{"vpid-zero", [](Vmcs& v) { v.write(Field::virtual_processor_identifier, 0); }},
    Break{"host-cr0", [](Vmcs& v) { remove(v, Field::host_cr0, 1); }},
    Break{"host-cr4", [](Vmcs& v) { remove(v, Field::host_cr4, 1U << 13); }},
    Break{"host-cr3", [](Vmcs& v) { add(v, Field::host_cr3, beyond_physical_memory); }},
    Break{"host-efer", [](Vmcs& v) { v.write(Field::host_efer, 0); }},
    Break{"host-pat", [](Vmcs& v) { v.write(Field::host_pat, 2); }},
    Break{"host-tr", [](Vmcs& v) { v.write(Field::host_tr_selector, 0); }},
    Break{"host-cs", [](Vmcs& v) { add(v, Field::host_cs_selector, 3); }},
    Break{"host-gs-base", [](Vmcs& v) { v.write(Field::host_gs_base, not_canonical); }},
    Break{"host-rip", [](Vmcs& v) { v.write(Field::host_rip, not_canonical); }},
    Break{"host-size",
          [](Vmcs& v) {
              remove(v, Field::exit_controls, vmx::exit_control::host_address_space_size);
          }},
};

/// One that VMLAUNCH refuses, and one whose entry fails.
constexpr std::array reported{
    Break{"reported-controls", [](Vmcs& v) { v.write(Field::cr3_target_count, 5); }},
    Break{"reported-state", [](Vmcs& v) { v.write(Field::guest_efer, 2); }},
};

/// The facts of an exit that should be a refusal. Returns whether it is one.
bool state_failure(std::string_view name, const Exit& exit) {
    const auto* failure = std::get_if<exit::EntryFailure>(&exit.reason);
    fact(name, "refused", failure != nullptr);
    if (failure == nullptr) return false;
    fact(name, "field", std::string_view{failure->field});
    fact(name, "rule", std::string_view{failure->rule});
    fact(name, "value", failure->value);
    return true;
}

/// By a VM: the report tells it, too.
void try_reported(const Break& broken) {
    const FrameBalance balance{broken.name};
    const auto vm = make_vm({.name = broken.name, .entry = guest_finish, .limit_ms = 5000});
    with_vmcs(vm->vcpu(0).backend(), broken.apply);
    (void)run(*vm);
    if (state_failure(broken.name, vm->vcpu(0).history().back(0)))
        fact(broken.name, "guest-kept", vm->vcpu(0).registers().rip == place(guest_finish).value());
}

/// By hand, since a report takes long where the console is slow.
void try_break(const Break& broken, bool late) {
    const FrameBalance balance{broken.name};
    const auto pager = make_pager(nonce);
    auto vcpu = backend().create_vcpu(*pager);
    kern::check(vcpu.has_value(), "no memory for a vCPU");
    (*vcpu)->start_protected_mode(place(guest_finish), nonce, 0);
    // So that all is written that is written at the first entry.
    if (late) run_to_hypercall(**vcpu, *pager);
    if (!late) with_vmcs(**vcpu, broken.apply);
    const std::uint64_t rip = (*vcpu)->registers.rip;
    (*vcpu)->enter_cpu();
    (void)kern::arch::disable_interrupts();
    if (late) {
        (void)(*vcpu)->run();
        (void)kern::arch::disable_interrupts();
        vmx::CurrentVmcs vmcs;
        broken.apply(vmcs);
    }
    const Exit exit = (*vcpu)->run();
    kern::arch::restore_interrupts(true);
    (*vcpu)->leave_cpu();
    if (state_failure(broken.name, exit) && !late)
        fact(broken.name, "guest-kept", (*vcpu)->registers.rip == rip);
}

}  // namespace

void test_vmx_entry_failures() {
    for (const Break& broken : breaks) try_break(broken, false);
    for (const Break& broken : late_breaks) try_break(broken, true);
    for (const Break& broken : reported) try_reported(broken);
    (void)run(*make_vm({.name = "after-refusals", .entry = guest_finish}));
}

}  // namespace vmm::test
