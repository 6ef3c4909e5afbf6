// SPDX-License-Identifier: MIT
#include "vmm/vmx/events.hh"

namespace vmm::vmx {
namespace {

/// Exit qualification of an EPT violation, and exit interruption information of an exception.
constexpr std::uint64_t nmi_unblocking = 1ULL << 12;
constexpr std::uint32_t exception_or_nmi = 0;
constexpr std::uint32_t ept_violation = 48;
constexpr std::uint32_t basic_reason = 0xffff;

std::uint32_t type_of(Event::Kind kind) {
    switch (kind) {
        case Event::Kind::ExternalInterrupt: return interruption::external_interrupt;
        case Event::Kind::NonMaskableInterrupt: return interruption::nmi;
        case Event::Kind::Exception: break;
    }
    return interruption::hardware_exception;
}

/// Whether the instruction that could not be finished was an IRET that had unblocked NMIs.
bool ended_nmi_blocking(const Vmcs& vmcs) {
    switch (vmcs.read(Field::exit_reason) & basic_reason) {
        case ept_violation: return (vmcs.read(Field::exit_qualification) & nmi_unblocking) != 0;
        case exception_or_nmi:
            return (vmcs.read(Field::exit_interruption_information) & nmi_unblocking) != 0;
        default: return false;
    }
}

}  // namespace

void inject_event(Vmcs& vmcs, const Event& event) {
    // An event that is delivered ends the shadow, and a step that was pending. With a shadow left
    // here, the CPU would ask for that step, and refuse the entry [intel/vol3c 27.3.1.5].
    const std::uint64_t state = vmcs.read(Field::guest_interruptibility_state);
    if ((state & interruptibility::shadow) != 0)
        vmcs.write(Field::guest_interruptibility_state, state & ~interruptibility::shadow);
    vmcs.write(Field::guest_pending_debug_exceptions, 0);

    std::uint32_t information = interruption::valid | type_of(event.kind) | event.vector;
    if (event.error_code && (vmcs.read(Field::guest_cr0) & cr0::protection_enable) != 0) {
        information |= interruption::has_error_code;
        vmcs.write(Field::entry_exception_error_code, *event.error_code);
    }
    vmcs.write(Field::entry_interruption_information, information);
}

bool has_event(const Vmcs& vmcs) {
    return (vmcs.read(Field::entry_interruption_information) & interruption::valid) != 0;
}

void keep_interrupted_event(Vmcs& vmcs) {
    const auto interrupted =
        static_cast<std::uint32_t>(vmcs.read(Field::idt_vectoring_information));
    const std::uint32_t type = interrupted & interruption::type;
    const std::uint64_t state = vmcs.read(Field::guest_interruptibility_state);
    if ((interrupted & interruption::valid) == 0) {
        if (ended_nmi_blocking(vmcs))
            vmcs.write(Field::guest_interruptibility_state,
                       state | interruptibility::blocking_by_nmi);
        return;
    }
    if (type == interruption::software_interrupt || type == interruption::software_exception ||
        type == interruption::privileged_software_exception)
        return;
    // Its delivery blocks NMIs anew; while they are blocked it could not be injected.
    if (type == interruption::nmi)
        vmcs.write(Field::guest_interruptibility_state,
                   state & ~std::uint64_t{interruptibility::blocking_by_nmi});
    if ((interrupted & interruption::has_error_code) != 0)
        vmcs.write(Field::entry_exception_error_code, vmcs.read(Field::idt_vectoring_error_code));
    // Bit 12 is undefined there, and must be zero here.
    vmcs.write(Field::entry_interruption_information, interrupted & ~interruption::reserved);
}

void forget_unfinished_step(Vmcs& vmcs) {
    const std::uint64_t state = vmcs.read(Field::guest_interruptibility_state);
    if ((state & interruptibility::shadow) != 0) return;
    const std::uint64_t pending = vmcs.read(Field::guest_pending_debug_exceptions);
    if ((pending & dr6::single_step) != 0)
        vmcs.write(Field::guest_pending_debug_exceptions, pending & ~dr6::single_step);
}

}  // namespace vmm::vmx
