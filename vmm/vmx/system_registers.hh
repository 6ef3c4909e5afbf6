// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "vmm/backend.hh"
#include "vmm/vmx/vmcs.hh"

namespace vmm::vmx {

/// Bits of CR0 that the host keeps for itself, with the guest's values in the read shadow: NE must
/// be set in VMX operation, and CD and NW are not switched by entry and exit
/// [intel/vol3c 24.8, 25.6.6, 27.3.2.1].
inline constexpr std::uint64_t cr0_host_bits =
    cr0::numeric_error | cr0::not_write_through | cr0::cache_disable;
/// The same of CR4: VMXE, which must be set.
inline constexpr std::uint64_t cr4_host_bits = cr4::vmx_enable;

///@{
/// Sets CR0 or CR4 to what the guest shall read there; the host's bits get what VMX wants.
void set_guest_cr0(Vmcs& vmcs, std::uint64_t value);
void set_guest_cr4(Vmcs& vmcs, std::uint64_t value);
///@}

/// Whether the guest's code segment is a 64-bit one.
bool is_64_bit(const Vmcs& vmcs);

/// A guest's CPL, by its SS access rights: SS.DPL is the CPL, also where SS is unusable
/// [intel/vol3c 25.4.1].
constexpr unsigned privilege_level_of(std::uint64_t ss_access_rights) {
    return static_cast<unsigned>(ss_access_rights >> access_rights::privilege_shift & 3);
}
/// The guest's system registers of the current VMCS, as the guest sees them. `cr2` is not in a
/// VMCS: the world switch moves it.
SystemRegisters read_system_registers(const Vmcs& vmcs, std::uint64_t cr2);

/// See VcpuBackend::set_efer. LMA, and with it the control IA-32e mode guest, stays as it is: the
/// CPU itself changes both when the guest turns paging on and off.
void set_guest_efer(Vmcs& vmcs, std::uint64_t value);

/// For the exit reason control_register_access: the guest writes other values to bits of CR0 that
/// the host keeps. They go to the read shadow, and the guest executes the instruction again, now
/// without an exit, so that the CPU itself does the rest of it (Served). Setting CR4.VMXE is
/// answered with #GP, as a CPU without VMX does. The result is the reason for Exit.
///
/// A write of CR3, which exits with OptionalExits only, is done here and is exit::Cr3Write; the caller
/// moves RIP, and flushes. In long mode bits beyond `physical_bits` are a \#GP.
decltype(Exit::reason) serve_control_register_access(Vmcs& vmcs, const Registers& registers,
                                                     unsigned physical_bits);

}  // namespace vmm::vmx
