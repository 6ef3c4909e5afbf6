// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

/// The virtual-machine control structure, after [intel/vol3c 25] and [intel/vol3d appendix B].
namespace vmm::vmx {

/// A field's encoding, the operand of VMREAD and VMWRITE [intel/vol3d appendix B]. Bits 14:13 tell
/// the width: 0 is 16 bits, 1 is 64, 2 is 32, 3 is natural (64 for us); bits 11:10 the kind: 0
/// controls, 1 read-only, 2 guest state, 3 host state.
enum class Field : std::uint32_t {
    // 16 bits
    virtual_processor_identifier = 0x0000,
    guest_es_selector = 0x0800,
    guest_cs_selector = 0x0802,
    guest_ss_selector = 0x0804,
    guest_ds_selector = 0x0806,
    guest_fs_selector = 0x0808,
    guest_gs_selector = 0x080a,
    guest_ldtr_selector = 0x080c,
    guest_tr_selector = 0x080e,
    host_es_selector = 0x0c00,
    host_cs_selector = 0x0c02,
    host_ss_selector = 0x0c04,
    host_ds_selector = 0x0c06,
    host_fs_selector = 0x0c08,
    host_gs_selector = 0x0c0a,
    host_tr_selector = 0x0c0c,

    // 64 bits
    io_bitmap_a = 0x2000,
    io_bitmap_b = 0x2002,
    msr_bitmaps = 0x2004,
    exit_msr_store_address = 0x2006,
    exit_msr_load_address = 0x2008,
    entry_msr_load_address = 0x200a,
    tsc_offset = 0x2010,
    virtual_apic_address = 0x2012,
    ept_pointer = 0x201a,
    guest_physical_address = 0x2400,
    vmcs_link_pointer = 0x2800,
    guest_debugctl = 0x2802,
    guest_pat = 0x2804,
    guest_efer = 0x2806,
    guest_pdpte0 = 0x280a,
    guest_pdpte1 = 0x280c,
    guest_pdpte2 = 0x280e,
    guest_pdpte3 = 0x2810,
    host_pat = 0x2c00,
    host_efer = 0x2c02,

    // 32 bits
    pin_based_controls = 0x4000,
    primary_controls = 0x4002,
    exception_bitmap = 0x4004,
    page_fault_error_code_mask = 0x4006,
    page_fault_error_code_match = 0x4008,
    cr3_target_count = 0x400a,
    exit_controls = 0x400c,
    exit_msr_store_count = 0x400e,
    exit_msr_load_count = 0x4010,
    entry_controls = 0x4012,
    entry_msr_load_count = 0x4014,
    entry_interruption_information = 0x4016,
    entry_exception_error_code = 0x4018,
    entry_instruction_length = 0x401a,
    tpr_threshold = 0x401c,
    secondary_controls = 0x401e,
    instruction_error = 0x4400,
    exit_reason = 0x4402,
    exit_interruption_information = 0x4404,
    exit_interruption_error_code = 0x4406,
    idt_vectoring_information = 0x4408,
    idt_vectoring_error_code = 0x440a,
    exit_instruction_length = 0x440c,
    exit_instruction_information = 0x440e,
    guest_es_limit = 0x4800,
    guest_cs_limit = 0x4802,
    guest_ss_limit = 0x4804,
    guest_ds_limit = 0x4806,
    guest_fs_limit = 0x4808,
    guest_gs_limit = 0x480a,
    guest_ldtr_limit = 0x480c,
    guest_tr_limit = 0x480e,
    guest_gdtr_limit = 0x4810,
    guest_idtr_limit = 0x4812,
    guest_es_access_rights = 0x4814,
    guest_cs_access_rights = 0x4816,
    guest_ss_access_rights = 0x4818,
    guest_ds_access_rights = 0x481a,
    guest_fs_access_rights = 0x481c,
    guest_gs_access_rights = 0x481e,
    guest_ldtr_access_rights = 0x4820,
    guest_tr_access_rights = 0x4822,
    guest_interruptibility_state = 0x4824,
    guest_activity_state = 0x4826,
    guest_sysenter_cs = 0x482a,
    preemption_timer_value = 0x482e,
    host_sysenter_cs = 0x4c00,

    // natural width
    cr0_guest_host_mask = 0x6000,
    cr4_guest_host_mask = 0x6002,
    cr0_read_shadow = 0x6004,
    cr4_read_shadow = 0x6006,
    exit_qualification = 0x6400,
    guest_linear_address = 0x640a,
    guest_cr0 = 0x6800,
    guest_cr3 = 0x6802,
    guest_cr4 = 0x6804,
    guest_es_base = 0x6806,
    guest_cs_base = 0x6808,
    guest_ss_base = 0x680a,
    guest_ds_base = 0x680c,
    guest_fs_base = 0x680e,
    guest_gs_base = 0x6810,
    guest_ldtr_base = 0x6812,
    guest_tr_base = 0x6814,
    guest_gdtr_base = 0x6816,
    guest_idtr_base = 0x6818,
    guest_dr7 = 0x681a,
    guest_rsp = 0x681c,
    guest_rip = 0x681e,
    guest_rflags = 0x6820,
    guest_pending_debug_exceptions = 0x6822,
    guest_sysenter_esp = 0x6824,
    guest_sysenter_eip = 0x6826,
    host_cr0 = 0x6c00,
    host_cr3 = 0x6c02,
    host_cr4 = 0x6c04,
    host_fs_base = 0x6c06,
    host_gs_base = 0x6c08,
    host_tr_base = 0x6c0a,
    host_gdtr_base = 0x6c0c,
    host_idtr_base = 0x6c0e,
    host_sysenter_esp = 0x6c10,
    host_sysenter_eip = 0x6c12,
    host_rsp = 0x6c14,
    host_rip = 0x6c16,
};

/// The current VMCS of this CPU, by VMREAD and VMWRITE; in tests, a fake. A VMCS has no layout in
/// memory that software may know, which is why this is an interface and AMD's VMCB a struct.
class Vmcs {
   public:
    /// VMREAD: the field's value, zero-extended.
    virtual std::uint64_t read(Field field) const = 0;
    /// VMWRITE: bits beyond the field's width are ignored.
    virtual void write(Field field, std::uint64_t value) = 0;

   protected:
    ~Vmcs() = default;
};

/// Pin-based VM-execution controls [intel/vol3c 25.6.1].
namespace pin_control {
inline constexpr std::uint32_t external_interrupt_exiting = 1U << 0;
inline constexpr std::uint32_t nmi_exiting = 1U << 3;
inline constexpr std::uint32_t virtual_nmis = 1U << 5;
inline constexpr std::uint32_t preemption_timer = 1U << 6;
inline constexpr std::uint32_t posted_interrupts = 1U << 7;
}  // namespace pin_control

/// Primary processor-based VM-execution controls [intel/vol3c 25.6.2].
namespace primary_control {
inline constexpr std::uint32_t interrupt_window_exiting = 1U << 2;
inline constexpr std::uint32_t use_tsc_offsetting = 1U << 3;
inline constexpr std::uint32_t hlt_exiting = 1U << 7;
inline constexpr std::uint32_t mwait_exiting = 1U << 10;
inline constexpr std::uint32_t rdpmc_exiting = 1U << 11;
inline constexpr std::uint32_t cr3_load_exiting = 1U << 15;
inline constexpr std::uint32_t cr3_store_exiting = 1U << 16;
inline constexpr std::uint32_t tpr_shadow = 1U << 21;
inline constexpr std::uint32_t nmi_window_exiting = 1U << 22;
inline constexpr std::uint32_t io_bitmaps = 1U << 25;
inline constexpr std::uint32_t msr_bitmaps = 1U << 28;
inline constexpr std::uint32_t monitor_exiting = 1U << 29;
inline constexpr std::uint32_t activate_secondary_controls = 1U << 31;
}  // namespace primary_control

/// Secondary processor-based VM-execution controls [intel/vol3c 25.6.2].
namespace secondary_control {
inline constexpr std::uint32_t virtualize_apic_accesses = 1U << 0;
inline constexpr std::uint32_t enable_ept = 1U << 1;
inline constexpr std::uint32_t virtualize_x2apic_mode = 1U << 4;
inline constexpr std::uint32_t enable_vpid = 1U << 5;
inline constexpr std::uint32_t wbinvd_exiting = 1U << 6;
inline constexpr std::uint32_t unrestricted_guest = 1U << 7;
inline constexpr std::uint32_t apic_register_virtualization = 1U << 8;
inline constexpr std::uint32_t virtual_interrupt_delivery = 1U << 9;
}  // namespace secondary_control

/// Primary VM-exit controls [intel/vol3c 25.7.1].
namespace exit_control {
inline constexpr std::uint32_t save_debug_controls = 1U << 2;
inline constexpr std::uint32_t host_address_space_size = 1U << 9;
inline constexpr std::uint32_t acknowledge_interrupt = 1U << 15;
inline constexpr std::uint32_t load_pat = 1U << 19;
inline constexpr std::uint32_t save_efer = 1U << 20;
inline constexpr std::uint32_t load_efer = 1U << 21;
inline constexpr std::uint32_t save_preemption_timer = 1U << 22;
}  // namespace exit_control

/// VM-entry controls [intel/vol3c 25.8.1].
namespace entry_control {
inline constexpr std::uint32_t load_debug_controls = 1U << 2;
inline constexpr std::uint32_t ia32e_mode_guest = 1U << 9;
inline constexpr std::uint32_t load_pat = 1U << 14;
inline constexpr std::uint32_t load_efer = 1U << 15;
}  // namespace entry_control

/// Access rights of a segment register [intel/vol3c table 25-2].
namespace access_rights {
inline constexpr std::uint32_t type = 0xf;
inline constexpr std::uint32_t code = 0x9b;  ///< present, readable code, accessed; ring 0
inline constexpr std::uint32_t data = 0x93;  ///< present, writable data, accessed; ring 0
inline constexpr std::uint32_t local_table = 0x82;
inline constexpr std::uint32_t busy_task = 0x8b;
inline constexpr std::uint32_t not_system = 1U << 4;  ///< S
inline constexpr unsigned privilege_shift = 5;        ///< DPL, two bits
inline constexpr std::uint32_t present = 1U << 7;
inline constexpr std::uint32_t reserved = 0xfffe'0f00;
inline constexpr std::uint32_t long_mode = 1U << 13;    ///< L
inline constexpr std::uint32_t size_32 = 1U << 14;      ///< D or B
inline constexpr std::uint32_t granularity = 1U << 15;  ///< G
inline constexpr std::uint32_t unusable = 1U << 16;
}  // namespace access_rights

/// The interruption information of VM entries, VM exits and IDT vectoring, which share a format
/// [intel/vol3c 25.8.3, 25.9.2, 25.9.3].
namespace interruption {
inline constexpr std::uint32_t vector = 0xff;
inline constexpr std::uint32_t type = 7U << 8;
inline constexpr std::uint32_t external_interrupt = 0U << 8;
inline constexpr std::uint32_t reserved_type = 1U << 8;
inline constexpr std::uint32_t nmi = 2U << 8;
inline constexpr std::uint32_t hardware_exception = 3U << 8;
inline constexpr std::uint32_t software_interrupt = 4U << 8;
inline constexpr std::uint32_t privileged_software_exception = 5U << 8;  ///< INT1
inline constexpr std::uint32_t software_exception = 6U << 8;             ///< INT3, INTO
inline constexpr std::uint32_t other_event = 7U << 8;
inline constexpr std::uint32_t has_error_code = 1U << 11;
inline constexpr std::uint32_t reserved = 0x7fff'f000;
inline constexpr std::uint32_t valid = 1U << 31;
}  // namespace interruption

/// Guest interruptibility state [intel/vol3c table 25-3].
namespace interruptibility {
inline constexpr std::uint32_t blocking_by_sti = 1U << 0;
inline constexpr std::uint32_t blocking_by_mov_ss = 1U << 1;
inline constexpr std::uint64_t shadow = blocking_by_sti | blocking_by_mov_ss;
inline constexpr std::uint32_t blocking_by_smi = 1U << 2;
inline constexpr std::uint32_t blocking_by_nmi = 1U << 3;
inline constexpr std::uint32_t reserved = ~0xfU & ~(1U << 4);
}  // namespace interruptibility

/// Values of the guest's activity state [intel/vol3c 25.4.2].
namespace activity {
inline constexpr std::uint64_t active = 0;
inline constexpr std::uint64_t halted = 1;
inline constexpr std::uint64_t shutdown = 2;
inline constexpr std::uint64_t wait_for_startup = 3;
}  // namespace activity

}  // namespace vmm::vmx
