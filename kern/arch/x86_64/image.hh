// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>

#include "kern/boot/boot_info.hh"

/// What the linker script and boot.S define.
// NOLINTBEGIN(bugprone-dynamic-static-initializers): nothing here is initialized at run time
extern "C" {
extern const std::uint64_t kernel_offset;
extern std::byte image_begin[], text_end[], rodata_end[], image_end[];
extern std::byte boot_pml4[], boot_stack_guard[], boot_stack[], boot_stack_top[];
}
// NOLINTEND(bugprone-dynamic-static-initializers)

namespace kern::arch {

/// The physical address of something in the kernel's image (direct_map and physical_address know
/// only the direct map).
inline Hpa image_physical(const void* in_image) {
    return Hpa{reinterpret_cast<std::uintptr_t>(in_image) - kernel_offset};
}

/// The memory that the image occupies.
inline MemoryRange image_memory() {
    return {image_physical(image_begin), image_physical(image_end)};
}

/// Where physical memory is mapped.
inline constexpr std::uint64_t direct_map_base = 0xffff'8000'0000'0000;

}  // namespace kern::arch
