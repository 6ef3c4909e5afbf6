// SPDX-License-Identifier: MIT
// The rules for the control fields [intel/vol3c 27.2.1].
#include <array>

#include "vmm/address.hh"
#include "vmm/backend.hh"
#include "vmm/vmx/consistency_rules.hh"

namespace vmm::vmx {
namespace {

/// The EPT pointer [intel/vol3c table 25-9].
namespace eptp {
constexpr std::uint64_t memory_type = 7;
constexpr std::uint64_t uncacheable = 0;
constexpr std::uint64_t write_back = 6;
constexpr std::uint64_t walk_length = 7ULL << 3;
constexpr std::uint64_t four_levels = 3ULL << 3;
constexpr std::uint64_t accessed_dirty = 1ULL << 6;
constexpr std::uint64_t reserved = 0xf80;
}  // namespace eptp

constexpr std::uint64_t largest_cr3_target_count = 4;
constexpr std::uint64_t tpr_threshold_reserved = ~0xfULL;
constexpr std::uint64_t msr_area_alignment = 16;  // the size of an entry, too
constexpr std::uint32_t entry_to_smm = 1U << 10;
constexpr std::uint32_t deactivate_dual_monitor = 1U << 11;
constexpr std::uint64_t longest_instruction = 15;
constexpr std::uint64_t last_exception = 31;
constexpr std::uint64_t error_code_reserved = 0xffff'0000;

/// Whether the CPU wants an error code with exception `number`: #DF, #TS, #NP, #SS, #GP, #PF, #AC.
constexpr bool has_error_code(std::uint64_t number) {
    return number == 8 || (number >= 10 && number <= 14) || number == 17;
}
bool fits(std::uint64_t address, std::uint64_t count, const CpuLimits& limits) {
    if (count == 0) return true;
    return none_set(address, msr_area_alignment - 1) &&
           none_set(address, beyond(limits.physical_bits)) &&
           none_set(address + count * msr_area_alignment - 1, beyond(limits.physical_bits));
}
std::uint64_t information(const Vmcs& v) {
    return v.read(Field::entry_interruption_information);
}
std::uint64_t number(const Vmcs& v) {
    return information(v) & interruption::vector;
}
bool is_protected(const Vmcs& v) {
    return all_set(v.read(Field::guest_cr0), cr0::protection_enable);
}
bool injects_software(const Vmcs& v) {
    return injects(v, interruption::software_interrupt) ||
           injects(v, interruption::software_exception) ||
           injects(v, interruption::privileged_software_exception);
}

constexpr std::array rules{
    // VM-execution control fields [intel/vol3c 27.2.1.1]
    ConsistencyRule{"pin-based VM-execution controls",
                    "each control must be one that IA32_VMX_PINBASED_CTLS allows",
                    value_of<Field::pin_based_controls>,
                    [](const Vmcs& v, const CpuLimits& limits) {
                        return limits.capabilities.pin.allows(
                            static_cast<std::uint32_t>(v.read(Field::pin_based_controls)));
                    }},
    ConsistencyRule{"primary processor-based VM-execution controls",
                    "each control must be one that IA32_VMX_PROCBASED_CTLS allows",
                    value_of<Field::primary_controls>,
                    [](const Vmcs& v, const CpuLimits& limits) {
                        return limits.capabilities.primary.allows(
                            static_cast<std::uint32_t>(v.read(Field::primary_controls)));
                    }},
    ConsistencyRule{"secondary processor-based VM-execution controls",
                    "each control must be one that IA32_VMX_PROCBASED_CTLS2 allows",
                    value_of<Field::secondary_controls>,
                    [](const Vmcs& v, const CpuLimits& limits) {
                        return !primary(v, primary_control::activate_secondary_controls) ||
                               limits.capabilities.secondary.allows(
                                   static_cast<std::uint32_t>(v.read(Field::secondary_controls)));
                    }},
    ConsistencyRule{"CR3-target count", "there are at most four CR3-target values",
                    value_of<Field::cr3_target_count>,
                    [](const Vmcs& v, const CpuLimits&) {
                        return v.read(Field::cr3_target_count) <= largest_cr3_target_count;
                    }},
    ConsistencyRule{"address of I/O bitmap A",
                    "with I/O bitmaps, it must be that of a page in physical memory",
                    value_of<Field::io_bitmap_a>,
                    [](const Vmcs& v, const CpuLimits& limits) {
                        return !primary(v, primary_control::io_bitmaps) ||
                               is_page(v.read(Field::io_bitmap_a), limits);
                    }},
    ConsistencyRule{"address of I/O bitmap B",
                    "with I/O bitmaps, bitmap B too must be a page in physical memory",
                    value_of<Field::io_bitmap_b>,
                    [](const Vmcs& v, const CpuLimits& limits) {
                        return !primary(v, primary_control::io_bitmaps) ||
                               is_page(v.read(Field::io_bitmap_b), limits);
                    }},
    ConsistencyRule{"address of MSR bitmaps",
                    "with MSR bitmaps, they must be a page in physical memory",
                    value_of<Field::msr_bitmaps>,
                    [](const Vmcs& v, const CpuLimits& limits) {
                        return !primary(v, primary_control::msr_bitmaps) ||
                               is_page(v.read(Field::msr_bitmaps), limits);
                    }},
    ConsistencyRule{"virtual-APIC address",
                    "with the TPR shadow, it must be that of a page in physical memory",
                    value_of<Field::virtual_apic_address>,
                    [](const Vmcs& v, const CpuLimits& limits) {
                        return !primary(v, primary_control::tpr_shadow) ||
                               is_page(v.read(Field::virtual_apic_address), limits);
                    }},
    ConsistencyRule{"TPR threshold", "with the TPR shadow, bits 31:4 must be zero",
                    value_of<Field::tpr_threshold>,
                    [](const Vmcs& v, const CpuLimits&) {
                        return !primary(v, primary_control::tpr_shadow) ||
                               secondary(v, secondary_control::virtual_interrupt_delivery) ||
                               none_set(v.read(Field::tpr_threshold), tpr_threshold_reserved);
                    }},
    ConsistencyRule{"pin-based VM-execution controls", "virtual NMIs need NMI exiting",
                    value_of<Field::pin_based_controls>,
                    [](const Vmcs& v, const CpuLimits&) {
                        return !pin(v, pin_control::virtual_nmis) ||
                               pin(v, pin_control::nmi_exiting);
                    }},
    ConsistencyRule{"primary processor-based VM-execution controls",
                    "NMI-window exiting needs virtual NMIs", value_of<Field::primary_controls>,
                    [](const Vmcs& v, const CpuLimits&) {
                        return !primary(v, primary_control::nmi_window_exiting) ||
                               pin(v, pin_control::virtual_nmis);
                    }},
    ConsistencyRule{"secondary processor-based VM-execution controls",
                    "virtualizing the APIC needs the TPR shadow",
                    value_of<Field::secondary_controls>,
                    [](const Vmcs& v, const CpuLimits&) {
                        return primary(v, primary_control::tpr_shadow) ||
                               (!secondary(v, secondary_control::virtualize_x2apic_mode) &&
                                !secondary(v, secondary_control::apic_register_virtualization) &&
                                !secondary(v, secondary_control::virtual_interrupt_delivery));
                    }},
    ConsistencyRule{"secondary processor-based VM-execution controls",
                    "x2APIC mode and APIC accesses must not both be virtualized",
                    value_of<Field::secondary_controls>,
                    [](const Vmcs& v, const CpuLimits&) {
                        return !secondary(v, secondary_control::virtualize_x2apic_mode) ||
                               !secondary(v, secondary_control::virtualize_apic_accesses);
                    }},
    ConsistencyRule{"pin-based VM-execution controls",
                    "virtual-interrupt delivery needs external-interrupt exiting",
                    value_of<Field::pin_based_controls>,
                    [](const Vmcs& v, const CpuLimits&) {
                        return !secondary(v, secondary_control::virtual_interrupt_delivery) ||
                               pin(v, pin_control::external_interrupt_exiting);
                    }},
    ConsistencyRule{"virtual-processor identifier",
                    "the guest's VPID must not be zero: that is the host's",
                    value_of<Field::virtual_processor_identifier>,
                    [](const Vmcs& v, const CpuLimits&) {
                        return !secondary(v, secondary_control::enable_vpid) ||
                               v.read(Field::virtual_processor_identifier) != 0;
                    }},
    ConsistencyRule{"EPT pointer", "the memory type must be write-back, or uncacheable",
                    value_of<Field::ept_pointer>,
                    [](const Vmcs& v, const CpuLimits&) {
                        const std::uint64_t type = v.read(Field::ept_pointer) & eptp::memory_type;
                        return !secondary(v, secondary_control::enable_ept) ||
                               type == eptp::write_back || type == eptp::uncacheable;
                    }},
    ConsistencyRule{"EPT pointer", "bits 5:3 must be 3: one less than the levels of a walk",
                    value_of<Field::ept_pointer>,
                    [](const Vmcs& v, const CpuLimits&) {
                        return !secondary(v, secondary_control::enable_ept) ||
                               (v.read(Field::ept_pointer) & eptp::walk_length) ==
                                   eptp::four_levels;
                    }},
    ConsistencyRule{
        "EPT pointer", "bit 6 must be clear on a CPU whose EPT has no accessed and dirty flags",
        value_of<Field::ept_pointer>,
        [](const Vmcs& v, const CpuLimits& limits) {
            return !secondary(v, secondary_control::enable_ept) ||
                   none_set(v.read(Field::ept_pointer), eptp::accessed_dirty) ||
                   all_set(limits.capabilities.ept_vpid, ept_vpid_capability::accessed_dirty);
        }},
    ConsistencyRule{"EPT pointer", "bits 11:7, and those beyond the physical width, must be zero",
                    value_of<Field::ept_pointer>,
                    [](const Vmcs& v, const CpuLimits& limits) {
                        return !secondary(v, secondary_control::enable_ept) ||
                               none_set(v.read(Field::ept_pointer),
                                        eptp::reserved | beyond(limits.physical_bits));
                    }},
    ConsistencyRule{"secondary processor-based VM-execution controls",
                    "an unrestricted guest needs EPT", value_of<Field::secondary_controls>,
                    [](const Vmcs& v, const CpuLimits&) {
                        return !secondary(v, secondary_control::unrestricted_guest) ||
                               secondary(v, secondary_control::enable_ept);
                    }},
    // VM-exit control fields [intel/vol3c 27.2.1.2]
    ConsistencyRule{"VM-exit controls", "each control must be one that IA32_VMX_EXIT_CTLS allows",
                    value_of<Field::exit_controls>,
                    [](const Vmcs& v, const CpuLimits& limits) {
                        return limits.capabilities.exit.allows(
                            static_cast<std::uint32_t>(v.read(Field::exit_controls)));
                    }},
    ConsistencyRule{"VM-exit controls", "saving the preemption timer needs the preemption timer",
                    value_of<Field::exit_controls>,
                    [](const Vmcs& v, const CpuLimits&) {
                        return !on_exit(v, exit_control::save_preemption_timer) ||
                               pin(v, pin_control::preemption_timer);
                    }},
    ConsistencyRule{"VM-exit MSR-store address",
                    "the area must begin at a multiple of 16 and lie in physical memory",
                    value_of<Field::exit_msr_store_address>,
                    [](const Vmcs& v, const CpuLimits& limits) {
                        const std::uint64_t count = v.read(Field::exit_msr_store_count);
                        return count == 0 ||
                               fits(v.read(Field::exit_msr_store_address), count, limits);
                    }},
    ConsistencyRule{"VM-exit MSR-load address",
                    "this area too must begin at a multiple of 16 and lie in physical memory",
                    value_of<Field::exit_msr_load_address>,
                    [](const Vmcs& v, const CpuLimits& limits) {
                        const std::uint64_t count = v.read(Field::exit_msr_load_count);
                        return count == 0 ||
                               fits(v.read(Field::exit_msr_load_address), count, limits);
                    }},
    // VM-entry control fields [intel/vol3c 27.2.1.3]
    ConsistencyRule{"VM-entry controls", "each control must be one that IA32_VMX_ENTRY_CTLS allows",
                    value_of<Field::entry_controls>,
                    [](const Vmcs& v, const CpuLimits& limits) {
                        return limits.capabilities.entry.allows(
                            static_cast<std::uint32_t>(v.read(Field::entry_controls)));
                    }},
    ConsistencyRule{"VM-entry controls", "entry to SMM is for a CPU that is in SMM",
                    value_of<Field::entry_controls>,
                    [](const Vmcs& v, const CpuLimits&) {
                        return none_set(v.read(Field::entry_controls),
                                        entry_to_smm | deactivate_dual_monitor);
                    }},
    ConsistencyRule{
        "VM-entry interruption information", "type 1 is reserved", information,
        [](const Vmcs& v, const CpuLimits&) { return !injects(v, interruption::reserved_type); }},
    ConsistencyRule{"VM-entry interruption information", "an NMI has vector 2", information,
                    [](const Vmcs& v, const CpuLimits&) {
                        return !injects(v, interruption::nmi) ||
                               number(v) == vector::non_maskable_interrupt;
                    }},
    ConsistencyRule{
        "VM-entry interruption information", "an exception's vector must be below 32", information,
        [](const Vmcs& v, const CpuLimits&) {
            return !injects(v, interruption::hardware_exception) || number(v) <= last_exception;
        }},
    ConsistencyRule{"VM-entry interruption information", "another event has vector 0", information,
                    [](const Vmcs& v, const CpuLimits&) {
                        return !injects(v, interruption::other_event) || number(v) == 0;
                    }},
    ConsistencyRule{
        "VM-entry interruption information",
        "an error code must be delivered with #DF, #TS, #NP, #SS, #GP, #PF and #AC in protected "
        "mode, and with nothing else",
        information,
        [](const Vmcs& v, const CpuLimits&) {
            const bool wants = injects(v, interruption::hardware_exception) && is_protected(v) &&
                               has_error_code(number(v));
            return !injects(v) || wants == all_set(information(v), interruption::has_error_code);
        }},
    ConsistencyRule{"VM-entry interruption information", "bits 30:12 must be zero", information,
                    [](const Vmcs& v, const CpuLimits&) {
                        return !injects(v) || none_set(information(v), interruption::reserved);
                    }},
    ConsistencyRule{
        "VM-entry exception error code", "bits 31:16 must be zero",
        value_of<Field::entry_exception_error_code>,
        [](const Vmcs& v, const CpuLimits&) {
            return !injects(v) || none_set(information(v), interruption::has_error_code) ||
                   none_set(v.read(Field::entry_exception_error_code), error_code_reserved);
        }},
    ConsistencyRule{"VM-entry instruction length",
                    "a software interrupt or exception has an instruction of 1 to 15 bytes",
                    value_of<Field::entry_instruction_length>,
                    [](const Vmcs& v, const CpuLimits&) {
                        const std::uint64_t length = v.read(Field::entry_instruction_length);
                        return !injects_software(v) ||
                               (length >= 1 && length <= longest_instruction);
                    }},
    ConsistencyRule{"VM-entry MSR-load address",
                    "the area of MSRs to load must begin at a multiple of 16 and lie in physical "
                    "memory",
                    value_of<Field::entry_msr_load_address>,
                    [](const Vmcs& v, const CpuLimits& limits) {
                        const std::uint64_t count = v.read(Field::entry_msr_load_count);
                        return count == 0 ||
                               fits(v.read(Field::entry_msr_load_address), count, limits);
                    }},
};

}  // namespace

std::span<const ConsistencyRule> control_rules() {
    return rules;
}

}  // namespace vmm::vmx
