// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "vmm/exit.hh"
#include "vmm/vmx/capabilities.hh"
#include "vmm/vmx/vmcs.hh"

namespace vmm::vmx {

/// What the consistency rules need to know of the CPU.
struct CpuLimits {
    Capabilities capabilities{};  ///< its MSRs
    unsigned physical_bits = 40;  ///< CPUID 8000_0008 EAX[7:0]
    unsigned linear_bits = 48;    ///< CPUID 8000_0008 EAX[15:8]
};

/// What a rule looks at, which decides how its breach shows itself [intel/vol3c 27.2, 27.3].
enum class Area : std::uint8_t {
    Controls,       ///< VM-instruction error 7
    HostState,      ///< VM-instruction error 8
    GuestState,     ///< an exit with reason 33
    GuestSegments,  ///< the same: the guest's segment registers
};

/// One reason for which a VM entry fails.
struct ConsistencyRule {
    const char* field;  ///< the VMCS field to look at, as the manual calls it
    const char* rule;   ///< what must hold, in words
    std::uint64_t (*value)(const Vmcs& vmcs);
    bool (*holds)(const Vmcs& vmcs, const CpuLimits& limits);
    const char* task = nullptr;  ///< the one whose mistake this likely is, if any
};

/// All rules for what lies in `area`, in the order of the manual.
std::span<const ConsistencyRule> consistency_rules(Area area);

/// The first rule that the current VMCS breaks, in the order in which the CPU looks: controls, host
/// state, guest. The CPU does not say which one it was.
std::optional<exit::EntryFailure> find_broken_rule(const Vmcs& vmcs, const CpuLimits& limits);

/// Why VMLAUNCH or VMRESUME fell through: the VM-instruction error `number` in words, and for 7 and
/// 8 the rule that is broken [intel/vol3c 31.4]. 0 means that there was no current VMCS (CF was
/// set instead of ZF).
exit::EntryFailure explain_instruction_error(const Vmcs& vmcs, const CpuLimits& limits,
                                             std::uint32_t number);

/// Why an exit with `reason` (bit 31 set) is a failed entry: 33 with the rule that is broken, 34
/// with the entry of the MSR-load area, 41.
exit::EntryFailure explain_entry_failure(const Vmcs& vmcs, const CpuLimits& limits,
                                         std::uint32_t reason);

}  // namespace vmm::vmx
