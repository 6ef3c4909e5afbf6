// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

/// Numbers of exceptions and interrupts: what TrapFrame::vector holds.
namespace kern::arch::vector {

///@{
/// The exceptions that somebody here knows by name [amd/vol2 8.2].
inline constexpr std::uint8_t debug = 1, non_maskable_interrupt = 2, breakpoint = 3, overflow = 4,
                              bound_range = 5, invalid_opcode = 6, double_fault = 8,
                              general_protection = 13, page_fault = 14, alignment_check = 17,
                              machine_check = 18;
///@}

/// From here on the numbers belong to interrupts. All but `spurious` want an end of interrupt.
inline constexpr std::uint8_t first_interrupt = 32;
inline constexpr std::uint8_t kick = 0xf0;      ///< wakes a CPU, nothing else
inline constexpr std::uint8_t request = 0xf1;   ///< interrupt_and_wait
inline constexpr std::uint8_t timer = 0xf2;     ///< the clock's
inline constexpr std::uint8_t spurious = 0xff;  ///< the APIC had nothing left to deliver

}  // namespace kern::arch::vector
