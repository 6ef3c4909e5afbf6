// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

/// The interrupts of the machine's old devices, by their numbers on an ISA bus: of the bare machine
/// alone.
namespace kern::arch {

/// How many there are.
inline constexpr unsigned device_interrupts = 16;

/// From now on they come to this CPU, and are masked. A CPU that takes one only notes it; who
/// serves traps and idle CPUs looks with take_device_interrupts.
void route_device_interrupts();
///@{
/// One of them; they are edges, and one that comes while it is masked is lost. One CPU at a time.
void mask_device_interrupt(unsigned irq);
void unmask_device_interrupt(unsigned irq);
///@}
/// Those that have arrived since the last call, as bits.
std::uint64_t take_device_interrupts();

}  // namespace kern::arch
