// SPDX-License-Identifier: MIT
// The rules for the host-state area [intel/vol3c 27.2.2 to 27.2.4]. None looks at the host's RSP: a
// wrong one shows only after the exit.
#include <array>

#include "vmm/address.hh"
#include "vmm/backend.hh"
#include "vmm/vmx/consistency_rules.hh"

namespace vmm::vmx {
namespace {

constexpr std::uint64_t requested_privilege_and_table = 7;  // RPL and TI of a selector

template <Field field>
constexpr ConsistencyRule canonical(const char* name, const char* rule,
                                    const char* task = nullptr) {
    return {name, rule, value_of<field>,
            [](const Vmcs& v, const CpuLimits& limits) {
                return is_canonical(v.read(field), limits.linear_bits);
            },
            task};
}
template <Field field>
constexpr ConsistencyRule plain_selector(const char* name, const char* rule) {
    return {name, rule, value_of<field>, [](const Vmcs& v, const CpuLimits&) {
                return none_set(v.read(field), requested_privilege_and_table);
            }};
}
template <Field field>
constexpr ConsistencyRule not_null(const char* name, const char* rule) {
    return {name, rule, value_of<field>,
            [](const Vmcs& v, const CpuLimits&) { return v.read(field) != 0; }};
}

bool is_64_bit(const Vmcs& v) {
    return on_exit(v, exit_control::host_address_space_size);
}
constexpr std::uint64_t long_mode_bits = efer::long_mode_active | efer::long_mode_enable;

constexpr std::array rules{
    ConsistencyRule{"host CR0", "each bit must be one that VMX operation allows (CR0_FIXED0, 1)",
                    value_of<Field::host_cr0>,
                    [](const Vmcs& v, const CpuLimits& limits) {
                        const std::uint64_t now = v.read(Field::host_cr0);
                        return all_set(now, limits.capabilities.cr0_fixed0) &&
                               none_set(now, ~limits.capabilities.cr0_fixed1);
                    }},
    ConsistencyRule{"host CR4", "each bit must be one that VMX operation allows (CR4_FIXED0, 1)",
                    value_of<Field::host_cr4>,
                    [](const Vmcs& v, const CpuLimits& limits) {
                        const std::uint64_t now = v.read(Field::host_cr4);
                        return all_set(now, limits.capabilities.cr4_fixed0) &&
                               none_set(now, ~limits.capabilities.cr4_fixed1);
                    }},
    ConsistencyRule{"host CR3", "the host's CR3 must have no bit beyond the physical width",
                    value_of<Field::host_cr3>,
                    [](const Vmcs& v, const CpuLimits& limits) {
                        return none_set(v.read(Field::host_cr3), beyond(limits.physical_bits));
                    }},
    canonical<Field::host_sysenter_esp>("host IA32_SYSENTER_ESP",
                                        "the host's SYSENTER stack must be a canonical address"),
    canonical<Field::host_sysenter_eip>("host IA32_SYSENTER_EIP",
                                        "the host's SYSENTER entry must be a canonical address"),
    ConsistencyRule{"host IA32_PAT", "each byte of the host's PAT must be a memory type",
                    value_of<Field::host_pat>,
                    [](const Vmcs& v, const CpuLimits&) {
                        return !on_exit(v, exit_control::load_pat) ||
                               is_memory_type_table(v.read(Field::host_pat));
                    }},
    ConsistencyRule{"host IA32_EFER", "the reserved bits of the host's EFER must be zero",
                    value_of<Field::host_efer>,
                    [](const Vmcs& v, const CpuLimits&) {
                        return !on_exit(v, exit_control::load_efer) ||
                               none_set(v.read(Field::host_efer), ~efer_defined);
                    }},
    ConsistencyRule{"host IA32_EFER", "LMA and LME must be as the host address-space size says",
                    value_of<Field::host_efer>,
                    [](const Vmcs& v, const CpuLimits&) {
                        return !on_exit(v, exit_control::load_efer) ||
                               (v.read(Field::host_efer) & long_mode_bits) ==
                                   (is_64_bit(v) ? long_mode_bits : 0);
                    }},
    // Segment and descriptor-table registers [intel/vol3c 27.2.3]
    plain_selector<Field::host_es_selector>("host ES selector", "RPL and TI of ES must be zero"),
    plain_selector<Field::host_cs_selector>("host CS selector", "RPL and TI of CS must be zero"),
    plain_selector<Field::host_ss_selector>("host SS selector", "RPL and TI of SS must be zero"),
    plain_selector<Field::host_ds_selector>("host DS selector", "RPL and TI of DS must be zero"),
    plain_selector<Field::host_fs_selector>("host FS selector", "RPL and TI of FS must be zero"),
    plain_selector<Field::host_gs_selector>("host GS selector", "RPL and TI of GS must be zero"),
    plain_selector<Field::host_tr_selector>("host TR selector", "RPL and TI of TR must be zero"),
    not_null<Field::host_cs_selector>("host CS selector", "the host's CS must not be null"),
    not_null<Field::host_tr_selector>("host TR selector", "the host's TR must not be null"),
    canonical<Field::host_fs_base>("host FS base", "the host's FS base must be canonical"),
    canonical<Field::host_gs_base>("host GS base", "the host's GS base must be canonical"),
    canonical<Field::host_gdtr_base>("host GDTR base", "the host's GDTR base must be canonical"),
    canonical<Field::host_idtr_base>("host IDTR base", "the host's IDTR base must be canonical"),
    canonical<Field::host_tr_base>("host TR base", "the host's TR base must be canonical"),
    // Address-space size [intel/vol3c 27.2.4]
    ConsistencyRule{"VM-exit controls",
                    "a host in 64-bit mode must return there: host address-space size must be set",
                    value_of<Field::exit_controls>,
                    [](const Vmcs& v, const CpuLimits&) { return is_64_bit(v); }},
    ConsistencyRule{"host CR4", "a host in 64-bit mode needs CR4.PAE", value_of<Field::host_cr4>,
                    [](const Vmcs& v, const CpuLimits&) {
                        return all_set(v.read(Field::host_cr4), cr4::physical_address_extension);
                    }},
    canonical<Field::host_rip>("host RIP", "the host's RIP must be canonical", "lab3.host_rsp"),
};

}  // namespace

std::span<const ConsistencyRule> host_rules() {
    return rules;
}

}  // namespace vmm::vmx
