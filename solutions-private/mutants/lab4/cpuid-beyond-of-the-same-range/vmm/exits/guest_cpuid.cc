// SPDX-License-Identifier: MIT
#include "vmm/exits/guest_cpuid.hh"

#include <algorithm>
#include <bit>

#include "vmm/hypercall.hh"

namespace vmm {
namespace {

using kern::arch::CpuidResult;

/// What the policy makes of the host's answer.
CpuidResult by_policy(const CpuidPolicy& policy, std::uint32_t leaf, std::uint32_t subleaf) {
    const auto found = std::ranges::find(policy.leaves, leaf, &CpuidLeaf::leaf);
    if (found == policy.leaves.end() || (found->has_subleaves && subleaf != 0)) return {};
    const CpuidResult host = kern::arch::cpuid(leaf);
    return {.eax = (host.eax & found->kept.eax) | found->added.eax,
            .ebx = (host.ebx & found->kept.ebx) | found->added.ebx,
            .ecx = (host.ecx & found->kept.ecx) | found->added.ecx,
            .edx = (host.edx & found->kept.edx) | found->added.edx};
}

void add_topology(CpuidResult& result, const CpuidView& view, std::uint32_t subleaf) {
    result.ecx |= subleaf & 0xff;
    result.edx |= view.vcpu_index;
    if (subleaf == 0) {
        result.ebx |= 1;
        result.ecx |= 1 << 8;
    } else if (subleaf == 1) {
        result.eax |= static_cast<std::uint32_t>(std::bit_width(view.vcpu_count - 1));
        result.ebx |= view.vcpu_count;
        result.ecx |= 2 << 8;
    }
}

}  // namespace

void guest_cpuid(const CpuidPolicy& policy, const CpuidView& view, Registers& registers) {
    auto leaf = static_cast<std::uint32_t>(registers.rax);
    const auto subleaf = static_cast<std::uint32_t>(registers.rcx);
    const bool is_there = std::ranges::any_of(policy.ranges, [leaf](const CpuidRange& range) {
        return leaf >= range.first && leaf <= range.last;
    });
    if (!is_there && policy.beyond_is_highest_basic)
        leaf = leaf >= 0x8000'0000   ? policy.ranges[2].last
               : leaf >= 0x4000'0000 ? policy.ranges[1].last
                                     : policy.ranges[0].last;

    CpuidResult result{};
    if (is_there || policy.beyond_is_highest_basic) {
        result = by_policy(policy, leaf, subleaf);
        switch (leaf) {
            case cpuid_features_leaf:
                result.ebx |= view.vcpu_count << 16 | view.vcpu_index << 24;
                if (view.vcpu_count > 1) result.edx |= 1 << 28;
                break;
            case cpuid_topology_leaf: add_topology(result, view, subleaf); break;
            case hypercall::cpuid_machine_leaf:
                result.eax |= view.vcpu_count;
                result.ebx |= view.timestamp_khz;
                break;
            case cpuid_address_sizes_leaf: result.ecx |= view.vcpu_count - 1; break;
            default: break;
        }
    }
    registers.rax = result.eax;
    registers.rbx = result.ebx;
    registers.rcx = result.ecx;
    registers.rdx = result.edx;
}

}  // namespace vmm
