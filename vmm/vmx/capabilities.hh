// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <expected>

#include "vmm/x86.hh"

namespace vmm::vmx {

/// The capability MSRs [intel/vol3d appendix A].
namespace capability_msr {
inline constexpr std::uint32_t basic = 0x480;
inline constexpr std::uint32_t pin_based = 0x481;
inline constexpr std::uint32_t primary = 0x482;
inline constexpr std::uint32_t exit = 0x483;
inline constexpr std::uint32_t entry = 0x484;
inline constexpr std::uint32_t miscellaneous = 0x485;
inline constexpr std::uint32_t cr0_fixed0 = 0x486;
inline constexpr std::uint32_t cr0_fixed1 = 0x487;
inline constexpr std::uint32_t cr4_fixed0 = 0x488;
inline constexpr std::uint32_t cr4_fixed1 = 0x489;
inline constexpr std::uint32_t secondary = 0x48b;
inline constexpr std::uint32_t ept_vpid = 0x48c;
inline constexpr std::uint32_t true_pin_based = 0x48d;
inline constexpr std::uint32_t true_primary = 0x48e;
inline constexpr std::uint32_t true_exit = 0x48f;
inline constexpr std::uint32_t true_entry = 0x490;
}  // namespace capability_msr

/// IA32_FEATURE_CONTROL [intel/vol3c 24.7].
namespace feature_control {
inline constexpr std::uint64_t locked = 1U << 0;
inline constexpr std::uint64_t vmxon_outside_smx = 1U << 2;
}  // namespace feature_control

/// IA32_VMX_EPT_VPID_CAP [intel/vol3d A.10].
namespace ept_vpid_capability {
inline constexpr std::uint64_t four_levels = 1ULL << 6;
inline constexpr std::uint64_t write_back = 1ULL << 14;
inline constexpr std::uint64_t pages_2m = 1ULL << 16;
inline constexpr std::uint64_t invept = 1ULL << 20;
inline constexpr std::uint64_t accessed_dirty = 1ULL << 21;
inline constexpr std::uint64_t invept_single = 1ULL << 25;
inline constexpr std::uint64_t invept_all = 1ULL << 26;
inline constexpr std::uint64_t invvpid = 1ULL << 32;
inline constexpr std::uint64_t invvpid_all = 1ULL << 42;
}  // namespace ept_vpid_capability

/// What one word of controls allows: the two halves of its capability MSR.
struct ControlCapability {
    std::uint32_t must_be_one = 0;  ///< bits 31:0 of the MSR
    std::uint32_t may_be_one = 0;   ///< bits 63:32
    /// All of `value` is allowed.
    constexpr bool allows(std::uint32_t value) const {
        return (value & must_be_one) == must_be_one && (value & ~may_be_one) == 0;
    }
    /// `wanted`, with what must be set and without what must not.
    constexpr std::uint32_t nearest(std::uint32_t wanted) const {
        return (wanted | must_be_one) & may_be_one;
    }
};

/// What this CPU's VMX can do, as its MSRs say. The control words are those of the TRUE MSRs where
/// the CPU has them (IA32_VMX_BASIC[55]), which allow more zeros.
struct Capabilities {
    std::uint32_t revision = 0;           ///< first word of a VMXON region and of a VMCS
    ControlCapability pin{};              ///< pin-based
    ControlCapability primary{};          ///< primary processor-based
    ControlCapability secondary{};        ///< secondary processor-based; zeros if it has none
    ControlCapability exit{};             ///< VM exit
    ControlCapability entry{};            ///< VM entry
    unsigned preemption_timer_shift = 0;  ///< the timer counts TSC ticks shifted right by this
    std::uint64_t activity_states = 0;    ///< IA32_VMX_MISC[8:6]: HLT, shutdown, wait-for-SIPI
    std::uint64_t cr0_fixed0 = 0;         ///< bits of CR0 that must be 1 in VMX operation
    std::uint64_t cr0_fixed1 = ~0ULL;     ///< bits of CR0 that may be 1
    std::uint64_t cr4_fixed0 = 0;         ///< bits of CR4 that must be 1
    std::uint64_t cr4_fixed1 = ~0ULL;     ///< bits of CR4 that may be 1
    std::uint64_t ept_vpid = 0;           ///< IA32_VMX_EPT_VPID_CAP; 0 if it has neither
};

/// Reads them on this CPU, which must have VMX (CPUID.1:ECX[5]).
Capabilities read_capabilities();

/// The five words of controls with which every vCPU starts.
struct Controls {
    ///@{
    /// The word of this name.
    std::uint32_t pin = 0, primary = 0, secondary = 0, exit = 0, entry = 0;
    ///@}
};

/// Works the controls out: what this hypervisor needs, plus what the CPU insists on. Changed later
/// are only interrupt_window_exiting and nmi_window_exiting (both are possible on this CPU then)
/// and ia32e_mode_guest. The error is what the CPU lacks, in words: a constant.
std::expected<Controls, const char*> compute_controls(const Capabilities& capabilities);

/// See Backend: whether this CPU has VMX, the firmware allows it, and compute_controls succeeds.
const char* why_unavailable();

}  // namespace vmm::vmx
