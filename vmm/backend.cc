// SPDX-License-Identifier: MIT
#include "vmm/backend.hh"

#include "kern/arch/arch.hh"
#include "vmm/probe.hh"

namespace vmm {

std::expected<const Backend*, const char*> find_backend() {
    // The registers in the order EBX, EDX, ECX spell "AuthenticAMD" or "GenuineIntel".
    constexpr std::uint32_t end_of_amd = 0x444d'4163;
    const bool amd = kern::arch::cpuid(0).ecx == end_of_amd;
    const Backend& backend = amd ? svm_backend : vmx_backend;
    if (const char* const reason = backend.why_unavailable()) return std::unexpected{reason};
    return &backend;
}

const Probe& probe_of(const Backend& backend) {
    return &backend == &svm_backend ? svm_probe : vmx_probe;
}

}  // namespace vmm
