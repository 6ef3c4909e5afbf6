// SPDX-License-Identifier: MIT
#include "vmm/vmx/consistency.hh"

#include <algorithm>
#include <array>

#include "vmm/vmx/consistency_rules.hh"
#include "vmm/vmx/exits.hh"

namespace vmm::vmx {
namespace {

/// The VM-instruction error numbers in words, by number [intel/vol3c table 31-1].
struct InstructionError {
    const char* rule = nullptr;
    const char* task = nullptr;
};
constexpr std::array<InstructionError, 29> instruction_errors{{
    {"there must be a current VMCS: VMPTRLD comes first"},
    {"VMCALL must not be executed by the host"},
    {"VMCLEAR needs the address of a page in physical memory"},
    {"VMCLEAR must not be given the VMXON region"},
    {"VMLAUNCH needs a VMCS that is clear: after the first entry it is launched, and VMRESUME "
     "enters "
     "it until the next VMCLEAR",
     "lab3.first_entry, lab3.launch_or_resume"},
    {"VMRESUME needs a VMCS that is launched: the first entry since VMCLEAR is by VMLAUNCH",
     "lab3.first_entry, lab3.launch_or_resume"},
    {"VMRESUME must not come after a VMXOFF and VMXON that followed the VMLAUNCH"},
    {"a control field is invalid"},
    {"a field of the host state is invalid"},
    {"VMPTRLD needs the address of a page in physical memory"},
    {"VMPTRLD must not be given the VMXON region"},
    {"the first word of a VMCS must be the CPU's revision identifier"},
    {"VMREAD and VMWRITE need the encoding of a field that the CPU has: are the operands swapped?",
     "lab3.host_rsp"},
    {"VMWRITE must not be given a read-only field", "lab3.host_rsp"},
    {},
    {"VMXON must not be executed twice"},
    {"the executive-VMCS pointer is invalid"},
    {"the executive VMCS is not launched"},
    {"the executive-VMCS pointer is not the VMXON region"},
    {"VMCALL needs a VMCS that is clear"},
    {"VMCALL needs valid VM-exit controls"},
    {},
    {"the MSEG revision identifier is wrong"},
    {"VMXOFF must not come while SMM has a monitor of its own"},
    {"VMCALL asks for SMM features that the CPU lacks"},
    {"the executive VMCS has invalid controls"},
    {"the host must not enter a guest right after MOV SS or POP SS"},
    {},
    {"INVEPT and INVVPID need a type that the CPU has and a valid operand"},
}};
constexpr std::uint32_t invalid_controls = 7;
constexpr std::uint32_t invalid_host_state = 8;

std::optional<exit::EntryFailure> find_broken_rule(const Vmcs& vmcs, const CpuLimits& limits,
                                                   Area area) {
    const auto rules = consistency_rules(area);
    const auto broken = std::ranges::find_if(
        rules, [&](const ConsistencyRule& rule) { return !rule.holds(vmcs, limits); });
    if (broken == rules.end()) return std::nullopt;
    return exit::EntryFailure{broken->field, broken->rule, broken->value(vmcs), broken->task};
}

}  // namespace

std::span<const ConsistencyRule> consistency_rules(Area area) {
    switch (area) {
        case Area::Controls: return control_rules();
        case Area::HostState: return host_rules();
        case Area::GuestState: return guest_rules();
        case Area::GuestSegments: break;
    }
    return segment_rules();
}

std::optional<exit::EntryFailure> find_broken_rule(const Vmcs& vmcs, const CpuLimits& limits) {
    for (const Area area : {Area::Controls, Area::HostState, Area::GuestState, Area::GuestSegments})
        if (const auto broken = find_broken_rule(vmcs, limits, area)) return broken;
    return std::nullopt;
}

exit::EntryFailure explain_instruction_error(const Vmcs& vmcs, const CpuLimits& limits,
                                             std::uint32_t number) {
    std::optional<exit::EntryFailure> broken;
    if (number == invalid_controls) broken = find_broken_rule(vmcs, limits, Area::Controls);
    if (number == invalid_host_state) broken = find_broken_rule(vmcs, limits, Area::HostState);
    if (broken) return *broken;
    constexpr const char* field = "VM-instruction error";
    if (number < instruction_errors.size() && instruction_errors[number].rule != nullptr)
        return {field, instruction_errors[number].rule, number, instruction_errors[number].task};
    return {field, "a rule that this hypervisor does not know", number};
}

exit::EntryFailure explain_entry_failure(const Vmcs& vmcs, const CpuLimits& limits,
                                         std::uint32_t reason) {
    switch (reason & exit_reason::basic) {
        case exit_reason::invalid_guest_state:
            for (const Area area : {Area::GuestState, Area::GuestSegments})
                if (const auto broken = find_broken_rule(vmcs, limits, area)) return *broken;
            return {"guest state", "a rule that this hypervisor does not know",
                    vmcs.read(Field::exit_qualification)};
        case exit_reason::msr_loading:
            return {"VM-entry MSR-load area", "the entry of this number, from 1, cannot be loaded",
                    vmcs.read(Field::exit_qualification)};
        case exit_reason::machine_check_at_entry:
            return {"none", "a machine check came during the entry: the hardware is broken", 0};
        default: break;
    }
    return {"exit reason", exit_name(reason), reason};
}

}  // namespace vmm::vmx
