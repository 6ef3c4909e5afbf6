// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "vmm/address.hh"
#include "vmm/vmx/capabilities.hh"
#include "vmm/vmx/vmcs.hh"
#include "vmm/x86.hh"

namespace vmm::vmx {

/// IA32_PAT after a reset [intel/vol3a 12.12.4].
inline constexpr std::uint64_t reset_pat = 0x0007'0406'0007'0406;

/// The EPT pointer for a table with its root at `table_root`: write-back, four levels, no accessed
/// and dirty flags, so that a walk of the guest's page tables reads what it reads
/// [intel/vol3c 25.6.11].
std::uint64_t ept_pointer(Hpa table_root);

/// Memory that the controls point to.
struct ControlAddresses {
    Hpa table_root{};    ///< of the VM's second-level table
    Hpa io_map{};        ///< see fill_io_map
    Hpa msr_map{};       ///< see fill_msr_map
    Hpa virtual_apic{};  ///< a zeroed page of this vCPU's own, for CR8: see virtual_tpr_offset
};
/// Where in the virtual-APIC page the CPU keeps the guest's task priority: CR8 is bits 7:4 of that
/// byte [intel/vol3c 30.1.1].
inline constexpr std::size_t virtual_tpr_offset = 0x80;

/// The exceptions that always exit, as a bitmap: a guest that faults in its #DB or #AC handler for
/// ever can be left only by these.
inline constexpr std::uint32_t exiting_exceptions =
    1U << vector::debug | 1U << vector::alignment_check;

/// The part of the current VMCS that no guest changes: controls, bitmaps, EPT, the bits of CR0 and
/// CR4 that the host keeps. The VPID is set before each entry.
void set_controls(Vmcs& vmcs, const Controls& controls, const ControlAddresses& addresses);

/// Where a VM exit puts the CPU [intel/vol3c 25.5].
struct HostState {
    ///@{
    /// The register of this name.
    std::uint64_t cr0 = 0, cr3 = 0, cr4 = 0;
    std::uint16_t es = 0, cs = 0, ss = 0, ds = 0, fs = 0, gs = 0, tr = 0;
    std::uint64_t fs_base = 0, gs_base = 0, tr_base = 0, gdtr_base = 0, idtr_base = 0;
    std::uint64_t sysenter_cs = 0, sysenter_esp = 0, sysenter_eip = 0;
    std::uint64_t efer = 0, pat = 0;
    ///@}
    std::uint64_t rip = 0;  ///< of the world switch, behind the entry
};
/// Writes it all but the host's RSP, which the world switch writes before each entry. To be called
/// on each CPU that a vCPU comes to.
void set_host_state(Vmcs& vmcs, const HostState& host);

/// 32-bit protected mode at `entry`, paging off, flat segments. See
/// VcpuBackend::start_protected_mode. RIP and RFLAGS are written too.
void set_protected_mode(Vmcs& vmcs, Gpa entry);

/// Real mode at (vector << 12), as after a startup IPI. See VcpuBackend::start_real_mode. It needs
/// an unrestricted guest: a CPU without it can enter guests with paging only.
void set_real_mode(Vmcs& vmcs, std::uint8_t vector);

}  // namespace vmm::vmx
