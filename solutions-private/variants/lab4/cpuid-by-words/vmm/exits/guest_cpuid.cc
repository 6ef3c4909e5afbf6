// SPDX-License-Identifier: MIT
#include "vmm/exits/guest_cpuid.hh"

namespace vmm {
namespace {

constexpr std::uint32_t machine_leaf = 0x4000'0001;

bool is_in_a_range(const CpuidPolicy& policy, std::uint32_t leaf) {
    for (const CpuidRange& range : policy.ranges)
        if (leaf - range.first <= range.last - range.first) return true;
    return false;
}

std::uint32_t shift_for(unsigned count) {
    std::uint32_t shift = 0;
    while ((1U << shift) < count) ++shift;
    return shift;
}

}  // namespace

void guest_cpuid(const CpuidPolicy& policy, const CpuidView& view, Registers& registers) {
    std::uint32_t leaf = registers.rax & 0xffff'ffff;
    const std::uint32_t subleaf = registers.rcx & 0xffff'ffff;
    registers.rax = registers.rbx = registers.rcx = registers.rdx = 0;
    if (!is_in_a_range(policy, leaf)) {
        if (!policy.beyond_is_highest_basic) return;
        leaf = policy.ranges[0].last;
    }
    for (const CpuidLeaf& one : policy.leaves) {
        if (one.leaf != leaf || (one.has_subleaves && subleaf != 0)) continue;
        const auto host = kern::arch::cpuid(leaf, 0);
        registers.rax = one.added.eax | (one.kept.eax & host.eax);
        registers.rbx = one.added.ebx | (one.kept.ebx & host.ebx);
        registers.rcx = one.added.ecx | (one.kept.ecx & host.ecx);
        registers.rdx = one.added.edx | (one.kept.edx & host.edx);
    }
    if (leaf == cpuid_features_leaf) {
        registers.rbx |= (view.vcpu_index & 0xff) << 24 | (view.vcpu_count & 0xff) << 16;
        registers.rdx |= view.vcpu_count == 1 ? 0U : 1U << 28;
    } else if (leaf == cpuid_topology_leaf) {
        registers.rcx |= subleaf % 256;
        registers.rdx |= view.vcpu_index;
        if (subleaf < 2) {
            registers.rax |= subleaf == 0 ? 0U : shift_for(view.vcpu_count);
            registers.rbx |= subleaf == 0 ? 1U : view.vcpu_count;
            registers.rcx |= (subleaf + 1) << 8;
        }
    } else if (leaf == machine_leaf) {
        registers.rax |= view.vcpu_count;
        registers.rbx |= view.timestamp_khz;
    } else if (leaf == cpuid_address_sizes_leaf) {
        registers.rcx |= view.vcpu_count - 1;
    }
}

}  // namespace vmm
