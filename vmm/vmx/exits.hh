// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "vmm/exit.hh"
#include "vmm/vmx/instructions.hh"
#include "vmm/vmx/vmcs.hh"

namespace vmm::vmx {

/// Basic exit reasons that the host acts on [intel/vol3d appendix C]; exit_name knows all.
namespace exit_reason {
inline constexpr std::uint32_t exception_or_nmi = 0;
inline constexpr std::uint32_t external_interrupt = 1;
inline constexpr std::uint32_t triple_fault = 2;
inline constexpr std::uint32_t interrupt_window = 7;
inline constexpr std::uint32_t nmi_window = 8;
inline constexpr std::uint32_t cpuid = 10;
inline constexpr std::uint32_t getsec = 11;
inline constexpr std::uint32_t hlt = 12;
inline constexpr std::uint32_t invd = 13;
inline constexpr std::uint32_t rdpmc = 15;
inline constexpr std::uint32_t rsm = 17;
inline constexpr std::uint32_t vmcall = 18;
inline constexpr std::uint32_t vmclear = 19;
inline constexpr std::uint32_t vmxon = 27;
inline constexpr std::uint32_t control_register_access = 28;
inline constexpr std::uint32_t io_instruction = 30;
inline constexpr std::uint32_t rdmsr = 31;
inline constexpr std::uint32_t wrmsr = 32;
inline constexpr std::uint32_t invalid_guest_state = 33;
inline constexpr std::uint32_t msr_loading = 34;
inline constexpr std::uint32_t mwait = 36;
inline constexpr std::uint32_t monitor = 39;
inline constexpr std::uint32_t machine_check_at_entry = 41;
inline constexpr std::uint32_t ept_violation = 48;
inline constexpr std::uint32_t ept_misconfiguration = 49;
inline constexpr std::uint32_t invept = 50;
inline constexpr std::uint32_t preemption_timer = 52;
inline constexpr std::uint32_t invvpid = 53;
inline constexpr std::uint32_t wbinvd = 54;
inline constexpr std::uint32_t xsetbv = 55;
inline constexpr std::uint32_t basic = 0xffff;            ///< the part that is one of these
inline constexpr std::uint32_t entry_failure = 1U << 31;  ///< set with 33, 34 and 41
}  // namespace exit_reason

/// The basic exit reason in words: every reason of the manual, "reserved exit reason" otherwise.
const char* exit_name(std::uint32_t reason);

/// What `fields` and the current VMCS say of the last exit, for every vendor's ears. Exit::code is the whole
/// exit reason, and `information` the exit qualification and, where there is one, the
/// guest-physical address. A failed entry becomes an EntryFailure without a rule: see
/// consistency.hh. control_register_access becomes Unknown: see serve_control_register_access.
/// `rcx` is the guest's, as RDMSR and WRMSR use it.
Exit decode_exit(const ExitFields& fields, const Vmcs& vmcs, std::uint64_t rcx);

}  // namespace vmm::vmx
