// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <span>
#include <string_view>

#include "kern/boot/memory_ranges.hh"
#include "kern/lib/address.hh"
#include "kern/lib/error.hh"
#include "kern/lib/fixed.hh"

namespace kern {

/// A file that the boot loader put into memory beside the kernel.
struct BootModule {
    MemoryRange range{};    ///< where it lies
    FixedText<128> text{};  ///< its command line, often its name; may be empty
};

/// How this kernel was entered.
enum class BootProtocol : std::uint8_t { Multiboot2, Pvh };

/// The protocol's name, for reports.
constexpr std::string_view describe(BootProtocol protocol) {
    return protocol == BootProtocol::Multiboot2 ? "multiboot2" : "PVH";
}

/// What the boot loader, or the host of a guest, told this kernel. Holds copies: nothing in it
/// points into the loader's own memory.
struct BootInfo {
    BootProtocol protocol = BootProtocol::Multiboot2;  ///< how this kernel was entered
    /// Memory that is RAM according to the loader; the kernel itself and the modules lie in it.
    MemoryRanges usable{MemoryRanges::Rounding::Down};
    /// Memory that the loader names, but not as free RAM (firmware, ACPI, devices), and the
    /// loader's own structures. Of a map that is too long, more than that, and never less.
    MemoryRanges reserved{MemoryRanges::Rounding::Up};
    FixedList<BootModule, 8> modules{};  ///< in the loader's order
    std::size_t modules_left_out = 0;    ///< so many more did not fit
    FixedText<1024> command_line{};      ///< empty if the loader gave none
    /// The ACPI root pointer, or a copy of it; 0 if the loader gave none, or half a one.
    Hpa rsdp{};
};

/// The value in EAX at a multiboot2 entry, [multiboot2 3.3].
inline constexpr std::uint32_t multiboot2_magic = 0x36d76289;
/// The first field of hvm_start_info, [xen start_info.h].
inline constexpr std::uint32_t pvh_magic = 0x336ec578;

/// Reads a multiboot2 information structure, [multiboot2 3.6].
/// @param memory physical memory from address 0 on
/// @param info where the structure begins
/// @return Error::Truncated if the structure or a tag leaves `memory` or the structure, or if there
///         is no end tag: what is cut short may have lost a reserved range. BadFormat if a tag
///         contradicts itself or there is no memory map.
std::expected<BootInfo, Error> parse_multiboot2(std::span<const std::byte> memory, Hpa info);

/// Reads a PVH start structure, version 0 or 1, in the same way.
/// @return as parse_multiboot2; BadFormat also for a wrong magic number
std::expected<BootInfo, Error> parse_pvh(std::span<const std::byte> memory, Hpa info);

/// The parts of `boot.usable` that may be handed out: whole pages that no reserved range, no module
/// and none of `taken` touches; ascending and disjoint.
FixedList<MemoryRange, 256> free_memory(const BootInfo& boot, std::span<const MemoryRange> taken);

}  // namespace kern

/// What a kernel does once the machine is set up: memory, traps, timer and all CPUs. Each image has
/// its own. Returning from it powers off with status 0.
extern "C" void kernel_main(const kern::BootInfo& boot);
