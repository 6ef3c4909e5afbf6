// SPDX-License-Identifier: MIT
#include "vmm/exits/cpuid.hh"

#include <algorithm>
#include <bit>
#include <cstring>

#include "vmm/devices/x2apic.hh"
#include "vmm/exits/exits.hh"
#include "vmm/hypercall.hh"
#include "vmm/vm.hh"

namespace vmm {
namespace {

using kern::arch::CpuidResult;

enum : std::uint32_t {
    vendor = 0,
    features = 1,
    power = 6,
    structured_features = 7,
    topology = 0xb,
    extended_range = 0x8000'0000,
    extended_features = 0x8000'0001,
    brand_first = 0x8000'0002,
    caches = 0x8000'0006,
    invariant_timestamp = 0x8000'0007,
    address_sizes = 0x8000'0008,
};

constexpr std::uint32_t bit(unsigned number) {
    return 1U << number;
}

namespace leaf1 {
// ECX: SSE3, PCLMULQDQ, SSSE3, CX16, SSE4.1, SSE4.2, MOVBE, POPCNT, AES, RDRAND. Not XSAVE, and so
// nothing that needs it: AVX, FMA, F16C.
constexpr std::uint32_t ecx_kept =
    bit(0) | bit(1) | bit(9) | bit(13) | bit(19) | bit(20) | bit(22) | bit(23) | bit(25) | bit(30);
constexpr std::uint32_t ecx_added = bit(21) | bit(31);  // x2APIC, running under a hypervisor
// EDX: FPU, VME, DE, PSE, TSC, MSR, PAE, CX8, SEP, PGE, CMOV, PAT, PSE36, CLFLUSH, MMX, FXSR, SSE,
// SSE2. Not MCE, MCA and MTRR: their MSRs are not there.
constexpr std::uint32_t edx_kept = bit(0) | bit(1) | bit(2) | bit(3) | bit(4) | bit(5) | bit(6) |
                                   bit(8) | bit(11) | bit(13) | bit(15) | bit(16) | bit(17) |
                                   bit(19) | bit(23) | bit(24) | bit(25) | bit(26);
constexpr std::uint32_t edx_apic = bit(9);
constexpr std::uint32_t edx_several_cpus = bit(28);
constexpr std::uint32_t clflush_line = 8 << 8;  // EBX: 64 bytes
constexpr unsigned logical_count_shift = 16;    // EBX
constexpr unsigned apic_id_shift = 24;          // EBX
}  // namespace leaf1

// FSGSBASE, BMI1, SMEP, BMI2, ERMS, RDSEED, ADX, SMAP, CLFLUSHOPT.
constexpr std::uint32_t leaf7_ebx_kept =
    bit(0) | bit(3) | bit(7) | bit(8) | bit(9) | bit(18) | bit(19) | bit(20) | bit(23);

namespace leaf8000_0001 {
// ECX: LAHF, ABM, SSE4A, misaligned SSE, PREFETCHW. Not SVM, not XOP and FMA4, which need XSAVE.
constexpr std::uint32_t ecx_kept = bit(0) | bit(5) | bit(6) | bit(7) | bit(8);
// EDX: SYSCALL, NX, MMX extensions, FFXSR, 1 GiB pages, long mode, 3DNow! and its extensions; not
// RDTSCP, whose MSR TSC_AUX is the host's.
constexpr std::uint32_t edx_kept = bit(11) | bit(20) | bit(22) | bit(25) | bit(26) | bit(29);
}  // namespace leaf8000_0001

constexpr std::uint32_t invariant_timestamp_bit = bit(8);  // EDX of 8000_0007
constexpr std::uint32_t timer_runs_always = bit(2);        // EAX of 6: ARAT
constexpr std::uint32_t guest_address_sizes = 48 << 8 | 40;

// Levels of leaf 0xb: threads of a core, then cores of a package.
constexpr std::uint32_t level_thread = 1 << 8;
constexpr std::uint32_t level_core = 2 << 8;

CpuidResult feature_leaf(const CpuidView& view) {
    CpuidResult result = kern::arch::cpuid(features);
    result.ebx = leaf1::clflush_line | view.vcpu_count << leaf1::logical_count_shift |
                 view.vcpu_index << leaf1::apic_id_shift;
    result.ecx = (result.ecx & leaf1::ecx_kept) | leaf1::ecx_added;
    result.edx = (result.edx & leaf1::edx_kept) | leaf1::edx_apic |
                 (view.vcpu_count > 1 ? leaf1::edx_several_cpus : 0);
    return result;
}

CpuidResult topology_leaf(const CpuidView& view, std::uint32_t subleaf) {
    CpuidResult result{.ecx = subleaf & 0xff, .edx = view.vcpu_index};
    if (subleaf == 0) {
        result.ebx = 1;
        result.ecx |= level_thread;
    } else if (subleaf == 1) {
        result.eax = static_cast<std::uint32_t>(std::bit_width(view.vcpu_count - 1));
        result.ebx = view.vcpu_count;
        result.ecx |= level_core;
    }
    return result;
}

CpuidResult signature_leaf() {
    CpuidResult result{.eax = hypercall::cpuid_machine_leaf};
    std::memcpy(&result.ebx, hypercall::cpuid_signature, 4);
    std::memcpy(&result.ecx, hypercall::cpuid_signature + 4, 4);
    std::memcpy(&result.edx, hypercall::cpuid_signature + 8, 4);
    return result;
}

}  // namespace

CpuidResult guest_cpuid(const CpuidView& view, std::uint32_t leaf, std::uint32_t subleaf) {
    switch (leaf) {
        case vendor: {
            CpuidResult result = kern::arch::cpuid(vendor);
            result.eax = topology;
            return result;
        }
        case features: return feature_leaf(view);
        case power: return {.eax = timer_runs_always};
        case structured_features:
            if (subleaf != 0) return {};
            return {.ebx = kern::arch::cpuid(structured_features).ebx & leaf7_ebx_kept};
        case topology: return topology_leaf(view, subleaf);
        case hypercall::cpuid_signature_leaf: return signature_leaf();
        case hypercall::cpuid_machine_leaf:
            return {.eax = view.vcpu_count, .ebx = view.timestamp_khz, .ecx = X2Apic::timer_khz};
        case extended_range: {
            CpuidResult result = kern::arch::cpuid(extended_range);
            result.eax = std::uint32_t{address_sizes};
            return result;
        }
        case extended_features: {
            CpuidResult result = kern::arch::cpuid(extended_features);
            result.ebx = 0;
            result.ecx &= leaf8000_0001::ecx_kept;
            result.edx = (result.edx & leaf8000_0001::edx_kept) |
                         (feature_leaf(view).edx & kern::arch::cpuid(extended_features).edx);
            return result;
        }
        case invariant_timestamp:
            return {.edx = kern::arch::cpuid(invariant_timestamp).edx & invariant_timestamp_bit};
        case address_sizes: return {.eax = guest_address_sizes, .ecx = view.vcpu_count - 1};
        default: break;
    }
    if (leaf >= brand_first && leaf <= caches) return kern::arch::cpuid(leaf);
    return {};
}

namespace exits {

Handled handle(Vcpu& vcpu, const Exit& exit, const exit::Cpuid&) {
    constexpr std::uint64_t hz_per_khz = 1000;
    Registers& registers = vcpu.registers();
    const CpuidView view{
        .vcpu_index = vcpu.index(),
        .vcpu_count = vcpu.vm().vcpu_count(),
        .timestamp_khz = static_cast<std::uint32_t>(kern::arch::timestamp_rate() / hz_per_khz)};
    const CpuidResult result = guest_cpuid(view, static_cast<std::uint32_t>(registers.rax),
                                           static_cast<std::uint32_t>(registers.rcx));
    registers.rax = result.eax;
    registers.rbx = result.ebx;
    registers.rcx = result.ecx;
    registers.rdx = result.edx;
    vcpu.backend().skip_instruction(exit);
    return {};
}

}  // namespace exits
}  // namespace vmm
