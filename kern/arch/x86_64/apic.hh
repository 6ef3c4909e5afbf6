// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

/// The executing CPU's local APIC, as xAPIC (memory-mapped) or x2APIC (MSRs), which CPUID decides
/// once for all CPUs [amd/vol2 16, intel/vol3a 10].
namespace kern::arch::apic {

/// Switches this CPU's APIC on. On the first CPU also chooses between xAPIC and x2APIC, and masks
/// the old interrupt controllers, unless this kernel is a guest without them.
void enable();

std::uint32_t id();
void end_of_interrupt();

/// Interrupts the CPU with APIC identifier `to`.
void send(std::uint32_t to, std::uint8_t vector);
/// Puts a CPU into the state in which it waits for send_startup.
void send_init(std::uint32_t to);
/// Lets a waiting CPU run in real mode at `vector` * 4096.
void send_startup(std::uint32_t to, std::uint8_t vector);
/// A non-maskable interrupt to all CPUs but this one.
void send_nmi_to_others();

/// Starts the one-shot timer, in ticks of the undivided clock; 0 stops it. The interrupt is masked
/// if `silent`, for measuring.
void start_timer(std::uint32_t ticks, bool silent = false);
/// Ticks left of start_timer.
std::uint32_t timer_left();

}  // namespace kern::arch::apic
