// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "kern/arch/arch.hh"

namespace vmm {

/// What CPUID tells one vCPU.
struct CpuidView {
    unsigned vcpu_index = 0;  ///< also its x2APIC identifier
    unsigned vcpu_count = 1;
    std::uint32_t timestamp_khz = 0;
};

/// The answer to CPUID with EAX = `leaf` and ECX = `subleaf` [amd/vol3 appendix E]: the host's,
/// without what this hypervisor keeps (SVM, XSAVE, performance counters) or has not (MTRRs, machine
/// checks), and with what it adds: an x2APIC, the topology, and its own leaves, see hypercall.hh.
kern::arch::CpuidResult guest_cpuid(const CpuidView& view, std::uint32_t leaf,
                                    std::uint32_t subleaf);

}  // namespace vmm
