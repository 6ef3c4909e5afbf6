// SPDX-License-Identifier: MIT
#include "vmm/svm/consistency.hh"

#include <algorithm>
#include <array>

#include "vmm/backend.hh"
#include "vmm/svm/permission_map.hh"

namespace vmm::svm {
namespace {

/// VME to OSXMMEXCPT, UMIP, LA57; FSGSBASE, PCIDE, OSXSAVE; SMEP, SMAP, PKE, CET [amd/vol2 3.1.3].
constexpr std::uint64_t cr4_defined = 0x0000'1fff | 0x0007'0000 | 0x00f0'0000;
/// SCE, LME, LMA, NXE, SVME, LMSLE, FFXSR, TCE, MCOMMIT, INTWB, UAIE, AIBRSE [amd/vol2 3.1.7].
constexpr std::uint64_t efer_defined = 0x0036'fd01;
constexpr std::uint64_t upper_half = 0xffff'ffff'0000'0000;

constexpr bool all_set(std::uint64_t value, std::uint64_t bits) {
    return (value & bits) == bits;
}
constexpr bool none_set(std::uint64_t value, std::uint64_t bits) {
    return (value & bits) == 0;
}
constexpr std::uint64_t beyond(unsigned bits) {
    return bits >= 64 ? 0 : ~0ULL << bits;
}

bool enters_long_mode(const Vmcb& vmcb) {
    return all_set(vmcb.save.efer, efer::long_mode_enable) && all_set(vmcb.save.cr0, cr0::paging);
}
bool fits(std::uint64_t base, std::size_t size, const CpuLimits& limits) {
    const std::uint64_t first = kern::align_down(base, page_size);  // VMRUN ignores bits 11:0
    return none_set(first, beyond(limits.physical_bits)) &&
           none_set(first + (size - 1), beyond(limits.physical_bits));
}
bool injects(const Vmcb& vmcb) {
    return all_set(vmcb.control.event_injection, event::valid);
}
bool injects_exception(const Vmcb& vmcb) {
    return injects(vmcb) && (vmcb.control.event_injection & event::type) == event::type_exception;
}
std::uint64_t injected_vector(const Vmcb& vmcb) {
    return vmcb.control.event_injection & event::vector;
}
bool is_64_bit(const Vmcb& vmcb) {
    return all_set(vmcb.save.efer, efer::long_mode_active) &&
           all_set(vmcb.save.cs.attributes, segment::long_mode);
}
/// Whether each byte of G_PAT is a memory type that exists [amd/vol2 7.8.1].
bool is_memory_type_table(std::uint64_t pat) {
    for (unsigned shift = 0; shift < 64; shift += 8) {
        const std::uint64_t type = (pat >> shift) & 0xff;
        if (type > 7 || type == 2 || type == 3) return false;
    }
    return true;
}

std::uint64_t read_efer(const Vmcb& vmcb) {
    return vmcb.save.efer;
}
std::uint64_t read_cr0(const Vmcb& vmcb) {
    return vmcb.save.cr0;
}
std::uint64_t read_cr3(const Vmcb& vmcb) {
    return vmcb.save.cr3;
}
std::uint64_t read_cr4(const Vmcb& vmcb) {
    return vmcb.save.cr4;
}
std::uint64_t read_dr6(const Vmcb& vmcb) {
    return vmcb.save.dr6;
}
std::uint64_t read_dr7(const Vmcb& vmcb) {
    return vmcb.save.dr7;
}
std::uint64_t read_cs(const Vmcb& vmcb) {
    return vmcb.save.cs.attributes;
}
std::uint64_t read_pat(const Vmcb& vmcb) {
    return vmcb.save.g_pat;
}
std::uint64_t read_event(const Vmcb& vmcb) {
    return vmcb.control.event_injection;
}
std::uint64_t read_asid(const Vmcb& vmcb) {
    return vmcb.control.asid;
}
std::uint64_t read_n_cr3(const Vmcb& vmcb) {
    return vmcb.control.n_cr3;
}

bool uses_nested_paging(const Vmcb& vmcb) {
    return all_set(vmcb.control.nested_paging, nested_paging_enable);
}

constexpr std::array rules{
    ConsistencyRule{"EFER", "EFER.SVME must be set", read_efer,
                    [](const Vmcb& v, const CpuLimits&) {
                        return all_set(v.save.efer, efer::secure_virtual_machine_enable);
                    }},
    ConsistencyRule{"CR0", "CR0.NW must not be set while CR0.CD is clear", read_cr0,
                    [](const Vmcb& v, const CpuLimits&) {
                        return all_set(v.save.cr0, cr0::cache_disable) ||
                               none_set(v.save.cr0, cr0::not_write_through);
                    }},
    ConsistencyRule{
        "CR0", "CR0 bits 63:32 must be zero", read_cr0,
        [](const Vmcb& v, const CpuLimits&) { return none_set(v.save.cr0, upper_half); }},
    ConsistencyRule{
        "CR3", "in long mode CR3 must have no bit beyond the physical address width", read_cr3,
        [](const Vmcb& v, const CpuLimits& limits) {
            return !enters_long_mode(v) || none_set(v.save.cr3, beyond(limits.physical_bits));
        }},
    ConsistencyRule{
        "CR4", "CR4 bits 63:32 must be zero", read_cr4,
        [](const Vmcb& v, const CpuLimits&) { return none_set(v.save.cr4, upper_half); }},
    ConsistencyRule{"CR4", "the reserved bits of CR4 must be zero", read_cr4,
                    [](const Vmcb& v, const CpuLimits&) {
                        return none_set(v.save.cr4, ~(cr4_defined | upper_half));
                    }},
    ConsistencyRule{"CR4", "CR4.CET must not be set while CR0.WP is clear", read_cr4,
                    [](const Vmcb& v, const CpuLimits&) {
                        return none_set(v.save.cr4, cr4::control_flow_enforcement) ||
                               all_set(v.save.cr0, cr0::write_protect);
                    }},
    ConsistencyRule{
        "DR6", "DR6 bits 63:32 must be zero", read_dr6,
        [](const Vmcb& v, const CpuLimits&) { return none_set(v.save.dr6, upper_half); }},
    ConsistencyRule{
        "DR7", "DR7 bits 63:32 must be zero", read_dr7,
        [](const Vmcb& v, const CpuLimits&) { return none_set(v.save.dr7, upper_half); }},
    ConsistencyRule{
        "EFER", "the reserved bits of EFER must be zero", read_efer,
        [](const Vmcb& v, const CpuLimits&) { return none_set(v.save.efer, ~efer_defined); }},
    ConsistencyRule{"EFER", "EFER.LME and LMA must be clear on a CPU without long mode", read_efer,
                    [](const Vmcb& v, const CpuLimits& limits) {
                        return limits.has_long_mode ||
                               none_set(v.save.efer,
                                        efer::long_mode_enable | efer::long_mode_active);
                    }},
    ConsistencyRule{"CR4", "with EFER.LME and CR0.PG set, CR4.PAE must be set", read_cr4,
                    [](const Vmcb& v, const CpuLimits&) {
                        return !enters_long_mode(v) ||
                               all_set(v.save.cr4, cr4::physical_address_extension);
                    }},
    ConsistencyRule{"CR0", "with EFER.LME and CR0.PG set, CR0.PE must be set", read_cr0,
                    [](const Vmcb& v, const CpuLimits&) {
                        return !enters_long_mode(v) || all_set(v.save.cr0, cr0::protection_enable);
                    }},
    ConsistencyRule{
        "CS attributes",
        "with EFER.LME, CR0.PG and CR4.PAE set, CS.L and CS.D must not both be set", read_cs,
        [](const Vmcb& v, const CpuLimits&) {
            return !enters_long_mode(v) || none_set(v.save.cr4, cr4::physical_address_extension) ||
                   !all_set(v.save.cs.attributes, segment::long_mode | segment::size_32);
        }},
    ConsistencyRule{"intercepts at 0x010", "VMRUN must be intercepted",
                    [](const Vmcb& v) -> std::uint64_t { return v.control.intercept2; },
                    [](const Vmcb& v, const CpuLimits&) {
                        return all_set(v.control.intercept2, intercept2::vmrun);
                    }},
    ConsistencyRule{"IOPM_BASE_PA", "the I/O permission map must lie in physical memory",
                    [](const Vmcb& v) { return v.control.iopm_base; },
                    [](const Vmcb& v, const CpuLimits& limits) {
                        return none_set(v.control.intercept1, intercept1::io_permission) ||
                               fits(v.control.iopm_base, io_map_size, limits);
                    }},
    ConsistencyRule{"MSRPM_BASE_PA", "the MSR permission map must lie in physical memory",
                    [](const Vmcb& v) { return v.control.msrpm_base; },
                    [](const Vmcb& v, const CpuLimits& limits) {
                        return none_set(v.control.intercept1, intercept1::msr_permission) ||
                               fits(v.control.msrpm_base, msr_map_size, limits);
                    }},
    ConsistencyRule{"EVENTINJ", "the type must be interrupt, NMI, exception or software interrupt",
                    read_event,
                    [](const Vmcb& v, const CpuLimits&) {
                        const std::uint64_t type = v.control.event_injection & event::type;
                        return !injects(v) || type == event::type_interrupt ||
                               (type >= event::type_nmi && type <= event::type_software);
                    }},
    ConsistencyRule{"EVENTINJ", "an exception's vector must be below 32", read_event,
                    [](const Vmcb& v, const CpuLimits&) {
                        return !injects_exception(v) || injected_vector(v) < 32;
                    }},
    ConsistencyRule{"EVENTINJ", "an exception must not have vector 2: that is the NMI", read_event,
                    [](const Vmcb& v, const CpuLimits&) {
                        return !injects_exception(v) ||
                               injected_vector(v) != vector::non_maskable_interrupt;
                    }},
    ConsistencyRule{"EVENTINJ", "#OF and #BR do not exist in 64-bit mode", read_event,
                    [](const Vmcb& v, const CpuLimits&) {
                        return !injects_exception(v) || !is_64_bit(v) ||
                               (injected_vector(v) != vector::overflow &&
                                injected_vector(v) != vector::bound_range);
                    }},
    ConsistencyRule{"ASID", "the guest's ASID must not be zero: that is the host's", read_asid,
                    [](const Vmcb& v, const CpuLimits&) { return v.control.asid != 0; }},
    ConsistencyRule{
        "ASID", "the ASID must be below what CPUID 8000_000A EBX says", read_asid,
        [](const Vmcb& v, const CpuLimits& limits) { return v.control.asid < limits.asid_count; }},
    ConsistencyRule{"S_CET", "the reserved bits 9:6 of S_CET must be zero",
                    [](const Vmcb& v) { return v.save.s_cet; },
                    [](const Vmcb& v, const CpuLimits&) {
                        constexpr std::uint64_t reserved = 0x3c0;
                        return none_set(v.save.cr4, cr4::control_flow_enforcement) ||
                               none_set(v.save.s_cet, reserved);
                    }},
    ConsistencyRule{"N_CR3", "nCR3 must have no bit beyond the physical address width", read_n_cr3,
                    [](const Vmcb& v, const CpuLimits& limits) {
                        return !uses_nested_paging(v) ||
                               none_set(v.control.n_cr3, beyond(limits.physical_bits));
                    }},
    ConsistencyRule{"G_PAT", "with nested paging each byte of G_PAT must be a memory type",
                    read_pat,
                    [](const Vmcb& v, const CpuLimits&) {
                        return !uses_nested_paging(v) || is_memory_type_table(v.save.g_pat);
                    }},
};

}  // namespace

std::span<const ConsistencyRule> consistency_rules() {
    return rules;
}

std::optional<exit::EntryFailure> find_broken_rule(const Vmcb& vmcb, const CpuLimits& limits) {
    const auto broken = std::ranges::find_if(
        rules, [&](const ConsistencyRule& rule) { return !rule.holds(vmcb, limits); });
    if (broken == rules.end()) return std::nullopt;
    return exit::EntryFailure{broken->field, broken->rule, broken->value(vmcb)};
}

}  // namespace vmm::svm
