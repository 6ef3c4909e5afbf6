// SPDX-License-Identifier: MIT
#pragma once

#include "vmm/exit.hh"
#include "vmm/vcpu.hh"

namespace vmm {

/// Bits of APIC_BASE [amd/vol2 16.3.1, 16.9], [intel/vol3a 11.4.4, 11.12.1].
namespace apic_base {
inline constexpr std::uint64_t boot_cpu = 1U << 8;     ///< of the first vCPU alone
inline constexpr std::uint64_t x2apic = 1U << 10;      ///< EXTD: registers are MSRs
inline constexpr std::uint64_t enabled = 1U << 11;     ///< EN
inline constexpr std::uint64_t address = 0xfee0'0000;  ///< of the page of registers, fixed here
}  // namespace apic_base

/// Does RDMSR or WRMSR in the guest's place (task lab4.handle_msr_access).
///
/// RDMSR puts the value's upper half into EDX and its lower half into EAX; the upper halves of RAX
/// and RDX become zero. WRMSR takes the value from EDX and EAX; the upper halves of RAX and RDX do
/// not matter. Then the guest goes on behind the instruction (VcpuBackend::skip_instruction).
///
/// The registers that there are; reading or writing any other is refused:
///
/// | MSR (vmm::msr) | reads as | a write |
/// |---|---|---|
/// | time_stamp_counter | kern::arch::timestamp() + tsc_offset(), modulo 2^64 | any; it counts on from there |
/// | efer | SystemRegisters::efer | see below |
/// | page_attribute_table | SystemRegisters::pat | 8 bytes of 0, 1, 4, 5, 6 or 7; others are refused |
/// | apic_base | see below | see below |
/// | x2apic_begin to x2apic_end - 1 | X2Apic::read | X2Apic::write |
/// | microcode_patch_level | 0 | refused |
/// | debug_control | 0 | 0; any other value is refused |
///
/// **EFER.** Writable are SYSCALL enable, LME and NXE, and FFXSR where CPUID 8000_0001 of this
/// machine has it (EDX bit 25); LMA keeps its value, whatever is written there: set_efer sees to
/// that. A set bit beside
/// these is refused, and so is one that changes LME while paging is on [amd/vol2 3.1.7]. What is
/// accepted goes to VcpuBackend::set_efer.
///
/// **APIC_BASE** reads as apic_base::address, with `boot_cpu` for vCPU 0; EN (`enabled`) and EXTD
/// (`x2apic`) are X2Apic::mode(). The other bits must be written as they read. All ways
/// between the three modes are there but two: to x2APIC mode only from xAPIC mode (or it is that
/// already), and from x2APIC mode not to xAPIC mode; EXTD without EN is no mode
/// [intel/vol3a 11.12.5]. What is accepted goes to X2Apic::set_mode, and Vcpu::timer_changed is to
/// be called. What CPUID shows the guest does not matter here: where it hides the x2APIC, the mode
/// is there all the same. (Bit EXTD of a processor without x2APIC would be reserved.)
///
/// **The APIC.** An access is refused if X2Apic refuses it, or unless the APIC is in x2APIC mode.
/// Times are kern::arch::nanoseconds(). A command that X2Apic::write hands back goes
/// to Vm::send. After each write that it accepts, Vcpu::timer_changed is to be called.
///
/// A refused access is \#GP with error code 0 in the guest: injected if VcpuBackend::can_inject;
/// otherwise that event comes first, and the guest will execute the instruction again. RIP stays at
/// the instruction, and no register, general or system, has changed.
///
/// @return success, always: no guest ends its VM by an MSR
Handled handle_msr_access(Vcpu& vcpu, const Exit& exit, const exit::MsrAccess& access);

}  // namespace vmm
