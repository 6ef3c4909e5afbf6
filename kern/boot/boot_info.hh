// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <span>
#include <string_view>

#include "kern/boot/memory_ranges.hh"
#include "kern/lib/address.hh"
#include "kern/lib/error.hh"

namespace kern {

/// A list of at most `capacity` things, kept in place: the boot loader's tables are read before
/// there is a heap. Further things are counted and dropped.
template <class T, std::size_t capacity>
class BootList {
   public:
    /// Appends `item`, or counts it as dropped.
    constexpr void add(const T& item) {
        if (size_ < capacity)
            items_[size_++] = item;
        else
            ++dropped_;
    }
    /// How many things are in the list.
    constexpr std::size_t size() const { return size_; }
    /// How many things did not fit.
    constexpr std::size_t dropped() const { return dropped_; }
    ///@{
    /// The things, in the order in which they were added.
    constexpr const T& operator[](std::size_t index) const { return items_[index]; }
    constexpr T& operator[](std::size_t index) { return items_[index]; }
    constexpr const T* begin() const { return items_.data(); }
    constexpr const T* end() const { return items_.data() + size_; }
    ///@}

   private:
    std::array<T, capacity> items_{};
    std::size_t size_ = 0;
    std::size_t dropped_ = 0;
};

/// A text from the boot loader, copied and cut at the end of its buffer.
template <std::size_t capacity>
class BootText {
   public:
    /// Copies `text`, cut at `capacity` characters.
    constexpr void assign(std::string_view text) {
        size_ = text.size() < capacity ? text.size() : capacity;
        for (std::size_t i = 0; i < size_; ++i) characters_[i] = text[i];
    }
    /// The text, not ended by a zero byte.
    constexpr std::string_view view() const { return {characters_.data(), size_}; }

   private:
    std::array<char, capacity> characters_{};
    std::size_t size_ = 0;
};

/// A file that the boot loader put into memory beside the kernel.
struct BootModule {
    MemoryRange range{};   ///< where it lies
    BootText<128> text{};  ///< its command line, often its name; may be empty
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
    BootList<BootModule, 8> modules{};  ///< in the loader's order
    BootText<1024> command_line{};      ///< empty if the loader gave none
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
BootList<MemoryRange, 256> free_memory(const BootInfo& boot, std::span<const MemoryRange> taken);

}  // namespace kern

/// What a kernel does once the machine is set up: memory, traps, timer and all CPUs. Each image has
/// its own. Returning from it powers off with status 0.
extern "C" void kernel_main(const kern::BootInfo& boot);
