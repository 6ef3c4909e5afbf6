// SPDX-License-Identifier: MIT
// The exits that need a few lines each.
#include "kern/arch/arch.hh"
#include "vmm/exits/exits.hh"
#include "vmm/exits/guest_cpuid.hh"
#include "vmm/exits/handle_msr_access.hh"
#include "vmm/exits/handle_port_access.hh"
#include "vmm/vm.hh"

namespace vmm::exits {
namespace {

constexpr bool has_error_code(std::uint8_t number) {
    return number == vector::general_protection || number == vector::alignment_check;
}

}  // namespace

Handled handle(Vcpu&, const Exit&, const exit::Unknown& reason) {
    return std::unexpected{ExitFailure{reason.name != nullptr ? reason.name : "unknown exit"}};
}

[[gnu::hot]] Handled handle(Vcpu& vcpu, const Exit& exit, const exit::Cpuid&) {
    constexpr std::uint64_t hz_per_khz = 1000;
    guest_cpuid(
        cpuid_policy(vcpu.vm().backend().cpuid_beyond_is_highest_basic, vcpu.vm().has_x2apic()),
        {.vcpu_index = vcpu.index(),
         .vcpu_count = vcpu.vm().vcpu_count(),
         .timestamp_khz = static_cast<std::uint32_t>(kern::arch::timestamp_rate() / hz_per_khz)},
        vcpu.registers());
    vcpu.backend().skip_instruction(exit);
    return {};
}

[[gnu::hot]] Handled handle(Vcpu& vcpu, const Exit& exit, const exit::PortAccess& access) {
    return handle_port_access(vcpu, exit, access);
}

Handled handle(Vcpu& vcpu, const Exit& exit, const exit::MsrAccess& access) {
    return handle_msr_access(vcpu, exit, access);
}

Handled handle(Vcpu& vcpu, const Exit& exit, const exit::Halt&) {
    vcpu.backend().skip_instruction(exit);
    // A guest that steps does not halt: its #DB is due.
    if (vcpu.backend().can_inject()) vcpu.halt();
    return {};
}

// The host has taken the interrupt already; what it was about is looked at before the next entry.
Handled handle(Vcpu&, const Exit&, const exit::ExternalInterrupt&) {
    return {};
}

Handled handle(Vcpu& vcpu, const Exit&, const exit::InterruptWindow&) {
    vcpu.backend().request_interrupt_window(false);
    return {};
}

Handled handle(Vcpu&, const Exit&, const exit::Shutdown&) {
    return std::unexpected{ExitFailure{"shutdown: a triple fault of the guest"}};
}

Handled handle(Vcpu& vcpu, const Exit&, const exit::Exception& reason) {
    // If the guest was on its way to another handler, that event comes first; it will meet this one
    // again.
    if (!vcpu.backend().can_inject()) return {};
    Event event{.vector = reason.vector};
    if (has_error_code(reason.vector)) event.error_code = 0;
    vcpu.backend().inject(event);
    return {};
}

Handled handle(Vcpu& vcpu, const Exit& exit, const exit::IgnoredInstruction&) {
    vcpu.backend().skip_instruction(exit);
    return {};
}

Handled handle(Vcpu& vcpu, const Exit&, const exit::Cr3Write&) {
    ++vcpu.optional_exits().cr3_writes;
    return {};
}

Handled handle(Vcpu& vcpu, const Exit&, const exit::GuestPageFault& fault) {
    ++vcpu.optional_exits().page_faults;
    // The event that was on its way, and this fault: the CPU would make a double fault of some pairs,
    // and bring both of others.
    if (!vcpu.backend().can_inject())
        return std::unexpected{
            ExitFailure{"a page fault on the way to a handler, which is not served with exits=pf"}};
    vcpu.backend().inject(
        {.vector = vector::page_fault, .error_code = fault.error_code, .cr2 = fault.address});
    return {};
}

Handled handle(Vcpu&, const Exit&, const exit::Served&) {
    return {};
}

Handled handle(Vcpu&, const Exit&, const exit::EntryFailure&) {
    return std::unexpected{ExitFailure{"the CPU refused to enter the guest"}};
}

}  // namespace vmm::exits
