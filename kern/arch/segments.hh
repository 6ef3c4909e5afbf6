// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

/// What a program's segment registers hold: offsets into the GDT that every CPU has, with the
/// privilege level in the two lowest bits. The order of the user segments is the one that SYSRET
/// wants [amd/vol2 6.1.1].
namespace kern::arch::selector {

///@{
/// The selector of that segment.
inline constexpr std::uint16_t kernel_code = 0x08, kernel_data = 0x10, user_data = 0x18 | 3,
                               user_code = 0x20 | 3, task_state = 0x28;
///@}

}  // namespace kern::arch::selector
