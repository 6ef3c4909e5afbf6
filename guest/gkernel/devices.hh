// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

namespace guest {

/// Whether this vCPU's local APIC is an x2APIC; otherwise kern drives it by its page of registers.
bool has_x2apic();

/// Sleeps `count` times until this vCPU's APIC timer interrupts. Returns how often it did.
std::uint64_t take_timer_interrupts(std::uint64_t count);

/// Writes `count` letters to the console whose registers are in memory, and after each one sleeps
/// until the console's interrupt comes, which the IO-APIC sends to this vCPU. Returns how often it
/// did. (vmm/devices/mmio_console.hh, which guests must not include.)
std::uint64_t take_console_interrupts(std::uint64_t count);

}  // namespace guest
