// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "kern/arch/trap_frame.hh"

namespace kern::arch {

/// What handle_user_trap calls once the machine's own part of a trap out of ring 3 is done.
extern void (*user_trap_handler)(const TrapFrame& frame);

/// Interrupt vectors above the exceptions. All but `spurious` want an end of interrupt.
namespace vector {
inline constexpr std::uint8_t first_interrupt = 32;
inline constexpr std::uint8_t kick = 0xf0;     ///< wakes a CPU, nothing else
inline constexpr std::uint8_t request = 0xf1;  ///< interrupt_and_wait
inline constexpr std::uint8_t timer = 0xf2;
inline constexpr std::uint8_t spurious = 0xff;
}  // namespace vector

}  // namespace kern::arch
