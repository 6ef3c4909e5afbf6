// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "vmm/exit.hh"
#include "vmm/svm/vmcb.hh"

namespace vmm::svm {

/// What the consistency rules need to know of the CPU.
struct CpuLimits {
    std::uint32_t asid_count = 2;  ///< CPUID 8000_000A EBX
    unsigned physical_bits = 40;   ///< CPUID 8000_0008 EAX[7:0]
    bool has_long_mode = true;     ///< CPUID 8000_0001 EDX[29]
};

/// One reason for which VMRUN fails with VMEXIT_INVALID.
struct ConsistencyRule {
    const char* field;  ///< the VMCB field to look at
    const char* rule;   ///< what must hold, in words
    std::uint64_t (*value)(const Vmcb& vmcb);
    bool (*holds)(const Vmcb& vmcb, const CpuLimits& limits);
};

/// All rules, in the order of the manual [amd/vol2 15.5.1].
std::span<const ConsistencyRule> consistency_rules();

/// The first rule that `vmcb` breaks. To be asked before VMRUN: QEMU, when it refuses one, writes
/// state of its own over the guest's.
std::optional<exit::EntryFailure> find_broken_rule(const Vmcb& vmcb, const CpuLimits& limits);

}  // namespace vmm::svm
