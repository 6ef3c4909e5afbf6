// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

/// Where the user-level VMM puts what in its guest's memory, and what the boot sector finds there.
/// guest/boot512/boot512.S knows the same numbers.
namespace user::hand_over {

/// The boot sector, as every PC's firmware has it: 512 bytes that end in 0x55 0xaa, entered in real
/// mode at their first byte.
inline constexpr std::uint64_t boot_sector = 0x7c00, boot_sector_bytes = 512;
/// The hand-over page: the struct Page, and behind it the multiboot2 information.
inline constexpr std::uint64_t page = 0x8000;

/// What the boot sector takes from the hand-over page.
struct Page {
    std::uint32_t entry = 0;        ///< guest-physical address of the kernel's first instruction
    std::uint32_t information = 0;  ///< of the multiboot2 information: EBX at the kernel's entry
};
static_assert(sizeof(Page) == 8);

}  // namespace user::hand_over
