// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "kern/boot/boot_info.hh"

namespace kern {

/// The type of usable RAM in both protocols' memory maps; every other type is reserved.
inline constexpr std::uint32_t usable_memory = 1;

/// Adds one entry of a loader's memory map. What is empty is left out, and what would wrap beyond
/// 2^64 is cut there.
void add_memory(BootInfo& boot, std::uint64_t address, std::uint64_t length, std::uint32_t type);

}  // namespace kern
