// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "kern/boot/boot_info.hh"

namespace kern::arch {

/// Builds the kernel's own address space and changes to it. Its tables are filled straight: each
/// level of a region is a run of frames, so an entry's place is its number.
///
///     0xffff800000000000  all of physical memory up to the last usable byte and at least 4 GiB:
///                         read, write, no execution; uncached above the RAM below 4 GiB, where
///                         devices are
///     0xffff900000000000  stacks, each with unmapped pages below it
///     kernel_offset + ..  the image, page by page: text R X, constants R, data R W
///
/// Nothing else is mapped: the identity map is only in the boot tables, for CPUs that start.
/// The frame allocator must be filled before.
void build_kernel_map(const BootInfo& boot);

/// The root of the kernel's own tables.
Hpa kernel_root();

/// Physical memory from address 0 on, as far as it is mapped in any case: 4 GiB.
std::span<const std::byte> low_memory();

/// Allocates and maps a stack. `size` in bytes, a multiple of 4096, at most 32 KiB.
/// Returns the address after its last byte. Panics if there is no memory or no more room.
std::uint64_t make_stack(std::uint64_t size);

/// Whether `address` lies in the unmapped part under a stack.
bool is_stack_guard(Hva address);
/// Whether the 16 bytes at `address` lie in a mapped stack.
bool is_in_stack(std::uint64_t address);

}  // namespace kern::arch
