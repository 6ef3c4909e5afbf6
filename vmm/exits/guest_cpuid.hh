// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "kern/arch/arch.hh"
#include "vmm/registers.hh"

namespace vmm {

/// What a guest may see of one leaf of CPUID.
struct CpuidLeaf {
    std::uint32_t leaf;  ///< in EAX
    /// Whether ECX chooses one of several answers: then the guest gets that of subleaf 0, and zeros
    /// for the others, without `added` too. If not, ECX does not matter.
    bool has_subleaves = false;
    kern::arch::CpuidResult kept{};   ///< the bits of the host's answer that the guest sees
    kern::arch::CpuidResult added{};  ///< bits that the guest sees set, whatever the host says
};

/// Leaves that follow each other; there are three such ranges: the basic leaves from 0 on, the
/// hypervisor's from 0x40000000 on, and the extended ones from 0x80000000 on.
struct CpuidRange {
    std::uint32_t first;  ///< the lowest leaf
    std::uint32_t last;   ///< the highest leaf, which belongs to it
};

/// What all guests of this machine may see of CPUID.
struct CpuidPolicy {
    std::span<const CpuidLeaf> leaves;  ///< in any order, each once; a leaf of a range that is not
                                        ///< among them is zeros
    std::array<CpuidRange, 3> ranges;   ///< the first one is that of the basic leaves
    /// How a leaf that is in no range is answered: with zeros, as AMD does it, or like the highest
    /// basic leaf with the same ECX, as Intel does it [intel/vol2a CPUID].
    bool beyond_is_highest_basic;
};

/// What one vCPU says of itself and its machine.
struct CpuidView {
    unsigned vcpu_index = 0;          ///< also its x2APIC identifier
    unsigned vcpu_count = 1;          ///< of its VM
    std::uint32_t timestamp_khz = 0;  ///< the rate of the time-stamp counter
};

///@{
/// The leaves that tell of the vCPU, see guest_cpuid.
inline constexpr std::uint32_t cpuid_features_leaf = 1;
inline constexpr std::uint32_t cpuid_topology_leaf = 0xb;
inline constexpr std::uint32_t cpuid_address_sizes_leaf = 0x8000'0008;
///@}

/// Does CPUID in the guest's place (task lab4.guest_cpuid). The leaf stands in the lower half of
/// RAX, the subleaf in the lower half of RCX; the answer goes into the lower halves of RAX, RBX,
/// RCX and RDX, and the upper halves of these four become zero. No other register changes.
///
/// The answer is what the policy makes of the host's (kern::arch::cpuid): its bits that are `kept`,
/// and those that are `added`. Of a few leaves the vCPU says something as well; these fields are
/// added by bitwise OR, and what the table does not name is as the policy has it:
///
/// | leaf | in | bits | |
/// |---|---|---|---|
/// | 1 | EBX | 23:16 | `vcpu_count` |
/// | 1 | EBX | 31:24 | `vcpu_index` |
/// | 1 | EDX | 28 | 1 if there are several vCPUs |
/// | 0xb, any subleaf | ECX | 7:0 | the lowest byte of the subleaf |
/// | 0xb, any subleaf | EDX | 31:0 | `vcpu_index` |
/// | 0xb, subleaf 0 (threads of a core) | EBX | 15:0 | 1 |
/// | 0xb, subleaf 0 | ECX | 15:8 | 1 |
/// | 0xb, subleaf 1 (cores of the package) | EAX | 4:0 | the least n with 2^n >= `vcpu_count` |
/// | 0xb, subleaf 1 | EBX | 15:0 | `vcpu_count` |
/// | 0xb, subleaf 1 | ECX | 15:8 | 2 |
/// | 0x40000001 | EAX | 31:0 | `vcpu_count` |
/// | 0x40000001 | EBX | 31:0 | `timestamp_khz` |
/// | 0x80000008 | ECX | 7:0 | `vcpu_count` - 1 |
///
/// A leaf beyond the end of its range is answered as `beyond_is_highest_basic` says.
///
/// @param policy     what guests may see; leaf 0xb, if it is among its leaves, has no subleaves
///                   there
/// @param view       what the vCPU says
/// @param registers  the guest's
/// @note Sources: [amd/vol3 appendix E], [intel/vol2a CPUID].
[[gnu::hot]] void guest_cpuid(const CpuidPolicy& policy, const CpuidView& view,
                              Registers& registers);

/// What this hypervisor lets its guests see: the host's leaves without what it keeps (SVM, VMX,
/// XSAVE, performance counters) or has not (MTRRs, machine checks), and with what it adds: an
/// x2APIC, and its own leaves, see hypercall.hh.
/// @param beyond_is_highest_basic  see CpuidPolicy
/// @param has_x2apic               the guest sees that it has an x2APIC; otherwise an xAPIC alone
const CpuidPolicy& cpuid_policy(bool beyond_is_highest_basic, bool has_x2apic = true);

}  // namespace vmm
