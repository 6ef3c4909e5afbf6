// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

/// What a guest's kernel may ask of this hypervisor by VMMCALL (VMCALL on Intel). RAX holds the
/// number, RBX and RCX the arguments, RDX `signature`; RAX returns 0, or an error. All other
/// registers are kept. kern and guest must not include this file: they have these numbers too.
///
/// What is no such call does nothing and returns an error. A kernel that was written for another
/// hypervisor has other numbers, and does not say the signature: no_signature. A program in ring 1
/// to 3 could end the VM behind its kernel's back: no_privilege.
namespace vmm::hypercall {

/// In RDX: "Nest". Whoever says it means this hypervisor.
inline constexpr std::uint64_t signature = 0x7473'654e;

/// Ends this VM. RBX: status. Does not return.
inline constexpr std::uint64_t exit = 0;
/// Prints a line of text under the VM's name. RBX: guest-virtual address, RCX: bytes, at most
/// print_limit. The text must lie in pages that the guest has touched already: the host reads it
/// through the tables and makes nothing present. Errors: bad_address, bad_argument (too long).
inline constexpr std::uint64_t print = 1;
/// Counts, and does nothing else: for measurements and tests. RBX: a value for who watches the VM.
inline constexpr std::uint64_t mark = 2;

/// Bytes at most in one print.
inline constexpr std::uint64_t print_limit = 4096;

// Results in RAX.
///@{
/// What RAX returns.
inline constexpr std::uint64_t ok = 0;
inline constexpr std::uint64_t bad_number = ~0ULL;
inline constexpr std::uint64_t bad_address = ~1ULL;
inline constexpr std::uint64_t bad_argument = ~2ULL;
inline constexpr std::uint64_t no_signature = ~3ULL;
inline constexpr std::uint64_t no_privilege = ~4ULL;
///@}

/// CPUID leaf 0x40000000: EAX is the highest of our leaves, EBX, ECX and EDX hold this signature.
inline constexpr std::uint32_t cpuid_signature_leaf = 0x4000'0000;
/// What EBX, ECX and EDX hold there.
inline constexpr char cpuid_signature[13] = "NestlingVMM\0";
/// CPUID leaf 0x40000001: EAX is the number of vCPUs (x2APIC identifiers 0 to EAX - 1), EBX the
/// rate of the time-stamp counter in kHz, ECX the rate of the APIC timer before its divider in kHz.
inline constexpr std::uint32_t cpuid_machine_leaf = 0x4000'0001;

}  // namespace vmm::hypercall
