// SPDX-License-Identifier: MIT
#include <array>
#include <bit>

#include "vmm/devices/x2apic.hh"
#include "vmm/exits/guest_cpuid.hh"
#include "vmm/hypercall.hh"

namespace vmm {
namespace {

enum : std::uint32_t {
    vendor = 0,
    features = cpuid_features_leaf,
    power = 6,
    structured_features = 7,
    topology = cpuid_topology_leaf,
    extended_range = 0x8000'0000,
    extended_features = 0x8000'0001,
    brand_first = 0x8000'0002,
    caches = 0x8000'0006,
    invariant_timestamp = 0x8000'0007,
    address_sizes = cpuid_address_sizes_leaf,
};

constexpr std::uint32_t all = ~0U;

constexpr std::uint32_t bit(unsigned number) {
    return 1U << number;
}

namespace leaf1 {
// ECX: SSE3, PCLMULQDQ, SSSE3, CX16, SSE4.1, SSE4.2, MOVBE, POPCNT, AES, RDRAND. Not XSAVE, and so
// nothing that needs it: AVX, FMA, F16C.
constexpr std::uint32_t ecx_kept =
    bit(0) | bit(1) | bit(9) | bit(13) | bit(19) | bit(20) | bit(22) | bit(23) | bit(25) | bit(30);
constexpr std::uint32_t ecx_x2apic = bit(21);
constexpr std::uint32_t ecx_added = ecx_x2apic | bit(31);  // running under a hypervisor
// EDX: FPU, VME, DE, PSE, TSC, MSR, PAE, CX8, SEP, PGE, CMOV, PAT, PSE36, CLFLUSH, MMX, FXSR, SSE,
// SSE2. Not MCE, MCA and MTRR: their MSRs are not there.
constexpr std::uint32_t edx_kept = bit(0) | bit(1) | bit(2) | bit(3) | bit(4) | bit(5) | bit(6) |
                                   bit(8) | bit(11) | bit(13) | bit(15) | bit(16) | bit(17) |
                                   bit(19) | bit(23) | bit(24) | bit(25) | bit(26);
constexpr std::uint32_t edx_apic = bit(9);
constexpr std::uint32_t clflush_line = 8 << 8;  // EBX: 64 bytes
}  // namespace leaf1

// FSGSBASE, BMI1, SMEP, BMI2, ERMS, RDSEED, ADX, SMAP, CLFLUSHOPT.
constexpr std::uint32_t leaf7_ebx_kept =
    bit(0) | bit(3) | bit(7) | bit(8) | bit(9) | bit(18) | bit(19) | bit(20) | bit(23);

namespace leaf8000_0001 {
// ECX: LAHF, ABM, SSE4A, misaligned SSE, PREFETCHW. Not SVM, not XOP and FMA4, which need XSAVE.
constexpr std::uint32_t ecx_kept = bit(0) | bit(5) | bit(6) | bit(7) | bit(8);
// EDX: SYSCALL, NX, MMX extensions, FFXSR, 1 GiB pages, long mode, 3DNow! and its extensions; not
// RDTSCP, whose MSR TSC_AUX is the host's. On AMD also what leaf 1 has in EDX.
constexpr std::uint32_t edx_kept =
    bit(11) | bit(20) | bit(22) | bit(25) | bit(26) | bit(29) | leaf1::edx_kept | leaf1::edx_apic;
}  // namespace leaf8000_0001

constexpr std::uint32_t invariant_timestamp_bit = bit(8);  // EDX of 8000_0007
constexpr std::uint32_t timer_runs_always = bit(2);        // EAX of 6: ARAT
constexpr std::uint32_t guest_address_sizes = 48 << 8 | 40;

constexpr std::uint32_t signature_word(unsigned index) {
    const char* const letters = hypercall::cpuid_signature + std::size_t{4} * index;
    return std::bit_cast<std::uint32_t>(
        std::array<char, 4>{letters[0], letters[1], letters[2], letters[3]});
}

constexpr std::array<CpuidLeaf, 16> leaves{{
    {.leaf = vendor, .kept = {.ebx = all, .ecx = all, .edx = all}, .added = {.eax = topology}},
    {.leaf = features,
     .kept = {.eax = all, .ecx = leaf1::ecx_kept, .edx = leaf1::edx_kept},
     .added = {.ebx = leaf1::clflush_line, .ecx = leaf1::ecx_added, .edx = leaf1::edx_apic}},
    {.leaf = power, .added = {.eax = timer_runs_always}},
    {.leaf = structured_features, .has_subleaves = true, .kept = {.ebx = leaf7_ebx_kept}},
    {.leaf = topology},
    {.leaf = hypercall::cpuid_signature_leaf,
     .added = {.eax = hypercall::cpuid_machine_leaf,
               .ebx = signature_word(0),
               .ecx = signature_word(1),
               .edx = signature_word(2)}},
    {.leaf = hypercall::cpuid_machine_leaf, .added = {.ecx = X2Apic::timer_khz}},
    {.leaf = extended_range,
     .kept = {.ebx = all, .ecx = all, .edx = all},
     .added = {.eax = address_sizes}},
    {.leaf = extended_features,
     .kept = {.eax = all, .ecx = leaf8000_0001::ecx_kept, .edx = leaf8000_0001::edx_kept}},
    {.leaf = brand_first, .kept = {all, all, all, all}},
    {.leaf = brand_first + 1, .kept = {all, all, all, all}},
    {.leaf = brand_first + 2, .kept = {all, all, all, all}},
    {.leaf = brand_first + 3, .kept = {all, all, all, all}},
    {.leaf = caches, .kept = {all, all, all, all}},
    {.leaf = invariant_timestamp, .kept = {.edx = invariant_timestamp_bit}},
    {.leaf = address_sizes, .added = {.eax = guest_address_sizes}},
}};
static_assert(brand_first + 4 == caches);

/// The same, without an x2APIC.
constexpr auto leaves_of_an_xapic = [] {
    auto all_leaves = leaves;
    for (CpuidLeaf& leaf : all_leaves)
        if (leaf.leaf == features) leaf.added.ecx &= ~leaf1::ecx_x2apic;
    return all_leaves;
}();

constexpr CpuidPolicy policy_of(const std::array<CpuidLeaf, leaves.size()>& which,
                                bool beyond_is_highest_basic) {
    return {.leaves = which,
            .ranges = {{{.first = vendor, .last = topology},
                        {.first = hypercall::cpuid_signature_leaf,
                         .last = hypercall::cpuid_machine_leaf},
                        {.first = extended_range, .last = address_sizes}}},
            .beyond_is_highest_basic = beyond_is_highest_basic};
}

/// By has_x2apic and beyond_is_highest_basic.
constexpr std::array<std::array<CpuidPolicy, 2>, 2> policies{
    {{policy_of(leaves_of_an_xapic, false), policy_of(leaves_of_an_xapic, true)},
     {policy_of(leaves, false), policy_of(leaves, true)}}};

}  // namespace

[[gnu::hot]] const CpuidPolicy& cpuid_policy(bool beyond_is_highest_basic, bool has_x2apic) {
    return policies[has_x2apic ? 1 : 0][beyond_is_highest_basic ? 1 : 0];
}

}  // namespace vmm
