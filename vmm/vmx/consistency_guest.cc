// SPDX-License-Identifier: MIT
// The rules for the guest-state area but for segments [intel/vol3c 27.3.1].
#include <array>

#include "vmm/address.hh"
#include "vmm/backend.hh"
#include "vmm/vmx/consistency_rules.hh"

namespace vmm::vmx {
namespace {

constexpr std::uint64_t upper_half = 0xffff'ffff'0000'0000;
constexpr std::uint64_t limit_reserved = ~0xffffULL;
constexpr std::uint64_t no_link = ~0ULL;
/// LBR, BTF, and bits 15:6: IA32_DEBUGCTL [intel/vol3b 18.4.1].
constexpr std::uint64_t debugctl_reserved = ~0xffc3ULL;
/// Bits 11:4, 13, 15 and 63:17 of the pending debug exceptions [intel/vol3c table 25-4].
constexpr std::uint64_t pending_reserved = 0xaff0 | ~0x1'ffffULL;
constexpr std::uint64_t pending_single_step = 1ULL << 14;
constexpr std::uint64_t debugctl_branch_step = 1ULL << 1;

namespace rflags_bit {
constexpr std::uint64_t must_be_zero = ~0x3f'7fd7ULL;  // 3, 5, 15 and 63:22
}  // namespace rflags_bit

/// A page-directory-pointer entry of PAE paging.
namespace pdpte {
constexpr std::uint64_t present = 1ULL << 0;
constexpr std::uint64_t reserved = 0x1e6;
}  // namespace pdpte

bool is_64_bit(const Vmcs& v) {
    return on_entry(v, entry_control::ia32e_mode_guest);
}
bool has_paging(const Vmcs& v) {
    return all_set(v.read(Field::guest_cr0), cr0::paging);
}
bool is_unrestricted(const Vmcs& v) {
    return secondary(v, secondary_control::unrestricted_guest);
}
bool blocks(const Vmcs& v, std::uint32_t what) {
    return (v.read(Field::guest_interruptibility_state) & what) != 0;
}
constexpr std::uint32_t instruction_shadow =
    interruptibility::blocking_by_sti | interruptibility::blocking_by_mov_ss;

template <Field field>
constexpr ConsistencyRule canonical(const char* name, const char* rule) {
    return {name, rule, value_of<field>, [](const Vmcs& v, const CpuLimits& limits) {
                return is_canonical(v.read(field), limits.linear_bits);
            }};
}
template <Field field>
constexpr ConsistencyRule small_limit(const char* name, const char* rule) {
    return {name, rule, value_of<field>, [](const Vmcs& v, const CpuLimits&) {
                return none_set(v.read(field), limit_reserved);
            }};
}
template <Field field>
constexpr ConsistencyRule directory_pointer(const char* name, const char* rule) {
    return {name, rule, value_of<field>, [](const Vmcs& v, const CpuLimits& limits) {
                const std::uint64_t entry = v.read(field);
                const bool is_used =
                    has_paging(v) && !is_64_bit(v) &&
                    all_set(v.read(Field::guest_cr4), cr4::physical_address_extension) &&
                    secondary(v, secondary_control::enable_ept);
                return !is_used || none_set(entry, pdpte::present) ||
                       none_set(entry, pdpte::reserved | beyond(limits.physical_bits));
            }};
}

constexpr std::array rules{
    // Control registers, debug registers and MSRs [intel/vol3c 27.3.1.1]
    ConsistencyRule{
        "guest CR0",
        "each bit must be one that VMX operation allows (CR0_FIXED0, 1); an unrestricted guest is "
        "free in PE and PG",
        value_of<Field::guest_cr0>,
        [](const Vmcs& v, const CpuLimits& limits) {
            const std::uint64_t free_bits =
                is_unrestricted(v) ? cr0::protection_enable | cr0::paging : 0;
            const std::uint64_t now = v.read(Field::guest_cr0);
            // The entry leaves CD and NW alone, and does not look at them [intel/vol3c 27.3.2.1].
            return all_set(now, limits.capabilities.cr0_fixed0 & ~free_bits) &&
                   none_set(now, ~limits.capabilities.cr0_fixed1 &
                                     ~(cr0::cache_disable | cr0::not_write_through));
        }},
    ConsistencyRule{"guest CR0", "with CR0.PG set, CR0.PE must be set", value_of<Field::guest_cr0>,
                    [](const Vmcs& v, const CpuLimits&) {
                        return !has_paging(v) ||
                               all_set(v.read(Field::guest_cr0), cr0::protection_enable);
                    }},
    ConsistencyRule{"guest CR4", "each bit must be one that VMX operation allows (CR4_FIXED0, 1)",
                    value_of<Field::guest_cr4>,
                    [](const Vmcs& v, const CpuLimits& limits) {
                        const std::uint64_t now = v.read(Field::guest_cr4);
                        return all_set(now, limits.capabilities.cr4_fixed0) &&
                               none_set(now, ~limits.capabilities.cr4_fixed1);
                    }},
    ConsistencyRule{"guest CR4", "CR4.CET must not be set while CR0.WP is clear",
                    value_of<Field::guest_cr4>,
                    [](const Vmcs& v, const CpuLimits&) {
                        return none_set(v.read(Field::guest_cr4), cr4::control_flow_enforcement) ||
                               all_set(v.read(Field::guest_cr0), cr0::write_protect);
                    }},
    ConsistencyRule{"guest IA32_DEBUGCTL", "the reserved bits of DEBUGCTL must be zero",
                    value_of<Field::guest_debugctl>,
                    [](const Vmcs& v, const CpuLimits&) {
                        return !on_entry(v, entry_control::load_debug_controls) ||
                               none_set(v.read(Field::guest_debugctl), debugctl_reserved);
                    }},
    ConsistencyRule{"guest CR0", "a guest in IA-32e mode needs CR0.PG", value_of<Field::guest_cr0>,
                    [](const Vmcs& v, const CpuLimits&) { return !is_64_bit(v) || has_paging(v); }},
    ConsistencyRule{"guest CR4", "a guest in IA-32e mode needs CR4.PAE", value_of<Field::guest_cr4>,
                    [](const Vmcs& v, const CpuLimits&) {
                        return !is_64_bit(v) ||
                               all_set(v.read(Field::guest_cr4), cr4::physical_address_extension);
                    }},
    ConsistencyRule{"guest CR4", "outside of IA-32e mode CR4.PCIDE must be clear",
                    value_of<Field::guest_cr4>,
                    [](const Vmcs& v, const CpuLimits&) {
                        return is_64_bit(v) ||
                               none_set(v.read(Field::guest_cr4), cr4::process_context_identifiers);
                    }},
    ConsistencyRule{"guest CR3", "the guest's CR3 must have no bit beyond the physical width",
                    value_of<Field::guest_cr3>,
                    [](const Vmcs& v, const CpuLimits& limits) {
                        return none_set(v.read(Field::guest_cr3), beyond(limits.physical_bits));
                    }},
    ConsistencyRule{"guest DR7", "DR7 bits 63:32 must be zero", value_of<Field::guest_dr7>,
                    [](const Vmcs& v, const CpuLimits&) {
                        return !on_entry(v, entry_control::load_debug_controls) ||
                               none_set(v.read(Field::guest_dr7), upper_half);
                    }},
    canonical<Field::guest_sysenter_esp>("guest IA32_SYSENTER_ESP",
                                         "the guest's SYSENTER stack must be a canonical address"),
    canonical<Field::guest_sysenter_eip>("guest IA32_SYSENTER_EIP",
                                         "the guest's SYSENTER entry must be a canonical address"),
    ConsistencyRule{"guest IA32_PAT", "each byte of the guest's PAT must be a memory type",
                    value_of<Field::guest_pat>,
                    [](const Vmcs& v, const CpuLimits&) {
                        return !on_entry(v, entry_control::load_pat) ||
                               is_memory_type_table(v.read(Field::guest_pat));
                    }},
    ConsistencyRule{"guest IA32_EFER", "the reserved bits of the guest's EFER must be zero",
                    value_of<Field::guest_efer>,
                    [](const Vmcs& v, const CpuLimits&) {
                        return !on_entry(v, entry_control::load_efer) ||
                               none_set(v.read(Field::guest_efer), ~efer_defined);
                    }},
    ConsistencyRule{"guest IA32_EFER",
                    "EFER.LMA must be set if and only if IA-32e mode guest is (VM-entry controls)",
                    value_of<Field::guest_efer>,
                    [](const Vmcs& v, const CpuLimits&) {
                        return !on_entry(v, entry_control::load_efer) ||
                               all_set(v.read(Field::guest_efer), efer::long_mode_active) ==
                                   is_64_bit(v);
                    }},
    ConsistencyRule{"guest IA32_EFER", "with CR0.PG set, EFER.LMA and EFER.LME must be equal",
                    value_of<Field::guest_efer>,
                    [](const Vmcs& v, const CpuLimits&) {
                        const std::uint64_t now = v.read(Field::guest_efer);
                        return !on_entry(v, entry_control::load_efer) || !has_paging(v) ||
                               all_set(now, efer::long_mode_active) ==
                                   all_set(now, efer::long_mode_enable);
                    }},
    // Descriptor-table registers [intel/vol3c 27.3.1.3]
    canonical<Field::guest_gdtr_base>("guest GDTR base", "the guest's GDTR base must be canonical"),
    canonical<Field::guest_idtr_base>("guest IDTR base", "the guest's IDTR base must be canonical"),
    small_limit<Field::guest_gdtr_limit>("guest GDTR limit", "the GDTR limit has 16 bits"),
    small_limit<Field::guest_idtr_limit>("guest IDTR limit", "the IDTR limit has 16 bits"),
    // RIP and RFLAGS [intel/vol3c 27.3.1.4]
    ConsistencyRule{
        "guest RIP",
        "outside of 64-bit code, bits 63:32 must be zero: the guest is entered at a physical "
        "address",
        value_of<Field::guest_rip>,
        [](const Vmcs& v, const CpuLimits&) {
            return (is_64_bit(v) &&
                    all_set(v.read(Field::guest_cs_access_rights), access_rights::long_mode)) ||
                   none_set(v.read(Field::guest_rip), upper_half);
        },
        "lab5.kernel_entry"},
    ConsistencyRule{"guest RIP", "in 64-bit code, RIP must be a linear address that the CPU has",
                    value_of<Field::guest_rip>,
                    [](const Vmcs& v, const CpuLimits& limits) {
                        const std::uint64_t rest = beyond(limits.linear_bits);
                        const std::uint64_t now = v.read(Field::guest_rip);
                        return !is_64_bit(v) || none_set(now, rest) || all_set(now, rest);
                    }},
    ConsistencyRule{"guest RFLAGS", "the reserved bits of RFLAGS must be zero, and bit 1 one",
                    value_of<Field::guest_rflags>,
                    [](const Vmcs& v, const CpuLimits&) {
                        const std::uint64_t now = v.read(Field::guest_rflags);
                        return none_set(now, rflags_bit::must_be_zero) &&
                               all_set(now, rflags::reserved_one);
                    }},
    ConsistencyRule{"guest RFLAGS", "RFLAGS.VM must be clear in IA-32e mode and in real mode",
                    value_of<Field::guest_rflags>,
                    [](const Vmcs& v, const CpuLimits&) {
                        return none_set(v.read(Field::guest_rflags), rflags::virtual_8086) ||
                               (!is_64_bit(v) &&
                                all_set(v.read(Field::guest_cr0), cr0::protection_enable));
                    }},
    ConsistencyRule{"guest RFLAGS", "to inject an interrupt, RFLAGS.IF must be set",
                    value_of<Field::guest_rflags>,
                    [](const Vmcs& v, const CpuLimits&) {
                        return !injects(v, interruption::external_interrupt) ||
                               all_set(v.read(Field::guest_rflags), rflags::interrupt_enable);
                    }},
    // Non-register state [intel/vol3c 27.3.1.5]
    ConsistencyRule{"guest activity state", "it must be 0 (active) to 3, and one that the CPU has",
                    value_of<Field::guest_activity_state>,
                    [](const Vmcs& v, const CpuLimits& limits) {
                        constexpr unsigned first_shift = 5;  // of IA32_VMX_MISC: state 1 is bit 6
                        const std::uint64_t now = v.read(Field::guest_activity_state);
                        return now == activity::active ||
                               (now <= activity::wait_for_startup &&
                                all_set(limits.capabilities.activity_states,
                                        1ULL << (first_shift + now)));
                    }},
    ConsistencyRule{"guest activity state", "a guest that halts is in ring 0",
                    value_of<Field::guest_activity_state>,
                    [](const Vmcs& v, const CpuLimits&) {
                        constexpr std::uint64_t ring = 3ULL << access_rights::privilege_shift;
                        return v.read(Field::guest_activity_state) != activity::halted ||
                               none_set(v.read(Field::guest_ss_access_rights), ring);
                    }},
    ConsistencyRule{"guest activity state", "a guest with blocking by STI or MOV SS must be active",
                    value_of<Field::guest_activity_state>,
                    [](const Vmcs& v, const CpuLimits&) {
                        return v.read(Field::guest_activity_state) == activity::active ||
                               !blocks(v, instruction_shadow);
                    }},
    ConsistencyRule{"guest interruptibility state", "bits 31:5 must be zero",
                    value_of<Field::guest_interruptibility_state>,
                    [](const Vmcs& v, const CpuLimits&) {
                        return none_set(v.read(Field::guest_interruptibility_state),
                                        interruptibility::reserved);
                    }},
    ConsistencyRule{
        "guest interruptibility state", "blocking by STI and by MOV SS must not both be set",
        value_of<Field::guest_interruptibility_state>,
        [](const Vmcs& v, const CpuLimits&) {
            return !all_set(v.read(Field::guest_interruptibility_state), instruction_shadow);
        }},
    ConsistencyRule{"guest interruptibility state", "blocking by STI needs RFLAGS.IF",
                    value_of<Field::guest_interruptibility_state>,
                    [](const Vmcs& v, const CpuLimits&) {
                        return !blocks(v, interruptibility::blocking_by_sti) ||
                               all_set(v.read(Field::guest_rflags), rflags::interrupt_enable);
                    }},
    ConsistencyRule{"guest interruptibility state",
                    "to inject an interrupt, nothing may block it (STI, MOV SS)",
                    value_of<Field::guest_interruptibility_state>,
                    [](const Vmcs& v, const CpuLimits&) {
                        return !injects(v, interruption::external_interrupt) ||
                               !blocks(v, instruction_shadow);
                    }},
    ConsistencyRule{"guest interruptibility state",
                    "to inject an NMI, nothing may block it (MOV SS, an NMI's handler)",
                    value_of<Field::guest_interruptibility_state>,
                    [](const Vmcs& v, const CpuLimits&) {
                        const std::uint32_t blocking =
                            interruptibility::blocking_by_mov_ss |
                            (pin(v, pin_control::virtual_nmis) ? interruptibility::blocking_by_nmi
                                                               : 0);
                        return !injects(v, interruption::nmi) || !blocks(v, blocking);
                    }},
    ConsistencyRule{"guest interruptibility state", "blocking by SMI is for a CPU that is in SMM",
                    value_of<Field::guest_interruptibility_state>,
                    [](const Vmcs& v, const CpuLimits&) {
                        return !blocks(v, interruptibility::blocking_by_smi);
                    }},
    ConsistencyRule{"guest pending debug exceptions", "the reserved bits must be zero",
                    value_of<Field::guest_pending_debug_exceptions>,
                    [](const Vmcs& v, const CpuLimits&) {
                        return none_set(v.read(Field::guest_pending_debug_exceptions),
                                        pending_reserved);
                    }},
    ConsistencyRule{
        "guest pending debug exceptions",
        "with blocking by STI or MOV SS, or halted, BS must be set if and only if the guest steps "
        "(RFLAGS.TF without DEBUGCTL.BTF)",
        value_of<Field::guest_pending_debug_exceptions>,
        [](const Vmcs& v, const CpuLimits&) {
            const bool steps = all_set(v.read(Field::guest_rflags), rflags::trap) &&
                               none_set(v.read(Field::guest_debugctl), debugctl_branch_step);
            const bool matters = blocks(v, instruction_shadow) ||
                                 v.read(Field::guest_activity_state) == activity::halted;
            return !matters || steps == all_set(v.read(Field::guest_pending_debug_exceptions),
                                                pending_single_step);
        }},
    ConsistencyRule{"VMCS link pointer",
                    "it must be all ones, or the address of a page in physical memory",
                    value_of<Field::vmcs_link_pointer>,
                    [](const Vmcs& v, const CpuLimits& limits) {
                        const std::uint64_t now = v.read(Field::vmcs_link_pointer);
                        return now == no_link || is_page(now, limits);
                    }},
    // Page-directory-pointer entries [intel/vol3c 27.3.1.6]
    directory_pointer<Field::guest_pdpte0>("guest PDPTE0", "PDPTE0: reserved bits must be zero"),
    directory_pointer<Field::guest_pdpte1>("guest PDPTE1", "PDPTE1: reserved bits must be zero"),
    directory_pointer<Field::guest_pdpte2>("guest PDPTE2", "PDPTE2: reserved bits must be zero"),
    directory_pointer<Field::guest_pdpte3>("guest PDPTE3", "PDPTE3: reserved bits must be zero"),
};

}  // namespace

std::span<const ConsistencyRule> guest_rules() {
    return rules;
}

}  // namespace vmm::vmx
