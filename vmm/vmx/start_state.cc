// SPDX-License-Identifier: MIT
#include "vmm/vmx/start_state.hh"

#include <array>
#include <utility>

#include "vmm/backend.hh"
#include "vmm/vmx/system_registers.hh"

namespace vmm::vmx {
namespace {

constexpr std::uint64_t cr0_protected = cr0::protection_enable | cr0::extension_type;
constexpr std::uint32_t flat_32 = access_rights::size_32 | access_rights::granularity;
constexpr std::uint64_t no_link = ~0ULL;

constexpr std::uint64_t ept_write_back = 6;         // of the tables themselves
constexpr std::uint64_t ept_four_levels = 3U << 3;  // one less

struct Segment {
    std::uint16_t selector = 0;
    std::uint32_t rights = access_rights::data;
    std::uint32_t limit = 0xffff;
    std::uint64_t base = 0;
};

/// A segment register's four fields.
struct SegmentFields {
    Field selector, rights, limit, base;
};
constexpr SegmentFields cs{Field::guest_cs_selector, Field::guest_cs_access_rights,
                           Field::guest_cs_limit, Field::guest_cs_base};
constexpr SegmentFields ldtr{Field::guest_ldtr_selector, Field::guest_ldtr_access_rights,
                             Field::guest_ldtr_limit, Field::guest_ldtr_base};
constexpr SegmentFields tr{Field::guest_tr_selector, Field::guest_tr_access_rights,
                           Field::guest_tr_limit, Field::guest_tr_base};
constexpr std::array data_segments{
    SegmentFields{Field::guest_es_selector, Field::guest_es_access_rights, Field::guest_es_limit,
                  Field::guest_es_base},
    SegmentFields{Field::guest_ss_selector, Field::guest_ss_access_rights, Field::guest_ss_limit,
                  Field::guest_ss_base},
    SegmentFields{Field::guest_ds_selector, Field::guest_ds_access_rights, Field::guest_ds_limit,
                  Field::guest_ds_base},
    SegmentFields{Field::guest_fs_selector, Field::guest_fs_access_rights, Field::guest_fs_limit,
                  Field::guest_fs_base},
    SegmentFields{Field::guest_gs_selector, Field::guest_gs_access_rights, Field::guest_gs_limit,
                  Field::guest_gs_base},
};

void set_segment(Vmcs& vmcs, const SegmentFields& fields, const Segment& segment) {
    vmcs.write(fields.selector, segment.selector);
    vmcs.write(fields.rights, segment.rights);
    vmcs.write(fields.limit, segment.limit);
    vmcs.write(fields.base, segment.base);
}

void set_data_segments(Vmcs& vmcs, const Segment& data) {
    for (const SegmentFields& fields : data_segments) set_segment(vmcs, fields, data);
}

/// What both starts share: all that is not segments, CR0 and RIP.
void set_reset_state(Vmcs& vmcs) {
    constexpr std::array<std::pair<Field, std::uint64_t>, 18> values{{
        {Field::guest_cr3, 0},
        {Field::guest_dr7, dr7::reset},
        {Field::guest_efer, 0},
        {Field::guest_pat, reset_pat},
        {Field::guest_debugctl, 0},
        {Field::guest_rsp, 0},
        {Field::guest_rflags, rflags::reserved_one},
        {Field::guest_sysenter_cs, 0},
        {Field::guest_sysenter_esp, 0},
        {Field::guest_sysenter_eip, 0},
        {Field::guest_gdtr_base, 0},
        {Field::guest_gdtr_limit, 0xffff},
        {Field::guest_idtr_base, 0},
        {Field::guest_idtr_limit, 0xffff},
        {Field::guest_interruptibility_state, 0},
        {Field::guest_activity_state, activity::active},
        {Field::guest_pending_debug_exceptions, 0},
        {Field::entry_interruption_information, 0},
    }};
    for (const auto& [field, value] : values) vmcs.write(field, value);
    set_segment(vmcs, ldtr, {.rights = access_rights::local_table});
    set_segment(vmcs, tr, {.rights = access_rights::busy_task});
    set_guest_cr4(vmcs, 0);
    // It follows EFER.LMA, which is clear.
    vmcs.write(Field::entry_controls,
               vmcs.read(Field::entry_controls) & ~std::uint64_t{entry_control::ia32e_mode_guest});
}

}  // namespace

std::uint64_t ept_pointer(Hpa table_root) {
    return table_root.value() | ept_four_levels | ept_write_back;
}

void set_controls(Vmcs& vmcs, const Controls& controls, const ControlAddresses& addresses) {
    vmcs.write(Field::pin_based_controls, controls.pin);
    vmcs.write(Field::primary_controls, controls.primary);
    vmcs.write(Field::secondary_controls, controls.secondary);
    vmcs.write(Field::exit_controls, controls.exit);
    vmcs.write(Field::entry_controls, controls.entry);
    vmcs.write(Field::exception_bitmap, exiting_exceptions);
    vmcs.write(Field::page_fault_error_code_mask, 0);
    vmcs.write(Field::page_fault_error_code_match, 0);
    vmcs.write(Field::cr3_target_count, 0);
    vmcs.write(Field::exit_msr_store_count, 0);
    vmcs.write(Field::exit_msr_load_count, 0);
    vmcs.write(Field::entry_msr_load_count, 0);
    vmcs.write(Field::entry_interruption_information, 0);
    vmcs.write(Field::tpr_threshold, 0);
    vmcs.write(Field::tsc_offset, 0);
    vmcs.write(Field::io_bitmap_a, addresses.io_map.value());
    vmcs.write(Field::io_bitmap_b, addresses.io_map.value() + page_size);
    vmcs.write(Field::msr_bitmaps, addresses.msr_map.value());
    vmcs.write(Field::virtual_apic_address, addresses.virtual_apic.value());
    vmcs.write(Field::ept_pointer, ept_pointer(addresses.table_root));
    vmcs.write(Field::vmcs_link_pointer, no_link);
    vmcs.write(Field::cr0_guest_host_mask, cr0_host_bits);
    vmcs.write(Field::cr4_guest_host_mask, cr4_host_bits);
}

void set_host_state(Vmcs& vmcs, const HostState& host) {
    const std::array<std::pair<Field, std::uint64_t>, 21> values{{
        {Field::host_cr0, host.cr0},
        {Field::host_cr3, host.cr3},
        {Field::host_cr4, host.cr4},
        {Field::host_es_selector, host.es},
        {Field::host_cs_selector, host.cs},
        {Field::host_ss_selector, host.ss},
        {Field::host_ds_selector, host.ds},
        {Field::host_fs_selector, host.fs},
        {Field::host_gs_selector, host.gs},
        {Field::host_tr_selector, host.tr},
        {Field::host_fs_base, host.fs_base},
        {Field::host_gs_base, host.gs_base},
        {Field::host_tr_base, host.tr_base},
        {Field::host_gdtr_base, host.gdtr_base},
        {Field::host_idtr_base, host.idtr_base},
        {Field::host_sysenter_cs, host.sysenter_cs},
        {Field::host_sysenter_esp, host.sysenter_esp},
        {Field::host_sysenter_eip, host.sysenter_eip},
        {Field::host_efer, host.efer},
        {Field::host_pat, host.pat},
        {Field::host_rip, host.rip},
    }};
    for (const auto& [field, value] : values) vmcs.write(field, value);
}

void set_protected_mode(Vmcs& vmcs, Gpa entry) {
    set_reset_state(vmcs);
    set_guest_cr0(vmcs, cr0_protected);
    set_segment(vmcs, cs,
                {.selector = 0x08, .rights = access_rights::code | flat_32, .limit = 0xffff'ffff});
    set_data_segments(
        vmcs, {.selector = 0x10, .rights = access_rights::data | flat_32, .limit = 0xffff'ffff});
    vmcs.write(Field::guest_rip, entry.value());
}

void set_real_mode(Vmcs& vmcs, std::uint8_t vector) {
    set_reset_state(vmcs);
    set_guest_cr0(vmcs, cr0::reset);
    set_segment(vmcs, cs,
                {.selector = static_cast<std::uint16_t>(vector << 8),
                 .rights = access_rights::code,
                 .base = std::uint64_t{vector} << 12});
    set_data_segments(vmcs, {});
    vmcs.write(Field::guest_rip, 0);
}

}  // namespace vmm::vmx
