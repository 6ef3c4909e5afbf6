// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <optional>

namespace kern::arch {

/// What this project's hypervisor tells a kernel that runs in it, by CPUID leaves (the hypervisor's
/// side of this contract is vmm/hypercall.hh, which kern must not know).
struct HostOfThisGuest {
    std::uint32_t cpu_count = 1;       ///< x2APIC identifiers 0 to cpu_count - 1
    std::uint32_t timestamp_khz = 0;   ///< rate of the time-stamp counter
    std::uint32_t apic_timer_khz = 0;  ///< rate of the APIC timer before its divider

    /// Ends this virtual machine with `status`; comes back if the host refuses.
    void exit(std::uint64_t status) const;
};

/// Nothing, unless this kernel runs in that hypervisor.
std::optional<HostOfThisGuest> host_of_this_guest();

}  // namespace kern::arch
