// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "vmm/backend.hh"
#include "vmm/exit.hh"
#include "vmm/svm/vmcb.hh"

namespace vmm::svm {

/// Exit codes that the host acts on [amd/vol2 appendix C]; exit_name knows all.
namespace exit_code {
inline constexpr std::uint64_t write_cr3 = 0x13;
inline constexpr std::uint64_t write_cr8 = 0x18;
inline constexpr std::uint64_t write_dr0 = 0x30;
inline constexpr std::uint64_t write_dr7 = 0x37;
inline constexpr std::uint64_t exception = 0x40;  ///< plus the vector, 0 to 31
inline constexpr std::uint64_t interrupt = 0x60;
inline constexpr std::uint64_t nmi = 0x61;
inline constexpr std::uint64_t virtual_interrupt = 0x64;
inline constexpr std::uint64_t ltr = 0x6d;
inline constexpr std::uint64_t rdpmc = 0x6f;
inline constexpr std::uint64_t cpuid = 0x72;
inline constexpr std::uint64_t rsm = 0x73;
inline constexpr std::uint64_t iret = 0x74;
inline constexpr std::uint64_t invd = 0x76;
inline constexpr std::uint64_t hlt = 0x78;
inline constexpr std::uint64_t invlpga = 0x7a;
inline constexpr std::uint64_t io = 0x7b;
inline constexpr std::uint64_t msr = 0x7c;
inline constexpr std::uint64_t shutdown = 0x7f;
inline constexpr std::uint64_t vmrun = 0x80;
inline constexpr std::uint64_t vmmcall = 0x81;
inline constexpr std::uint64_t skinit = 0x86;
inline constexpr std::uint64_t wbinvd = 0x89;
inline constexpr std::uint64_t monitor = 0x8a;
inline constexpr std::uint64_t mwait = 0x8b;
inline constexpr std::uint64_t mwait_armed = 0x8c;
inline constexpr std::uint64_t xsetbv = 0x8d;
inline constexpr std::uint64_t rdpru = 0x8e;
inline constexpr std::uint64_t nested_page_fault = 0x400;
inline constexpr std::uint64_t not_written = 0xf000'0000;  ///< the CPU's never: for software use
inline constexpr std::uint64_t invalid = ~0ULL;
}  // namespace exit_code

/// EXITINFO1 of an MSR access that is WRMSR.
inline constexpr std::uint64_t msr_write = 1;

/// The exit code in words: every code of the manual, "reserved exit code" otherwise.
const char* exit_name(std::uint64_t code);

/// What the VMCB says of the last exit, for every vendor's ears. `exit_code::invalid` becomes an
/// EntryFailure without a rule: see consistency.hh. `rcx` is the guest's, as RDMSR and WRMSR use
/// it.
/// Its length is known of IN and OUT, and 0 otherwise: see instruction.hh.
Exit decode_exit(const Vmcb& vmcb, std::uint64_t rcx);

}  // namespace vmm::svm
