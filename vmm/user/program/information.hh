// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace user {

/// RAM in the memory map of the multiboot2 information.
struct MemoryMapEntry {
    std::uint64_t base = 0;      ///< guest-physical address
    std::uint64_t length = 0;    ///< bytes
    std::uint32_t type = 1;      ///< usable
    std::uint32_t reserved = 0;  ///< 0
};
static_assert(sizeof(MemoryMapEntry) == 24);

/// Writes a multiboot2 information structure [multiboot2 3.6], tag by tag.
class Information {
   public:
    /// In `room`, which is full of zeros and lies at a multiple of 8 bytes.
    explicit Information(std::span<std::byte> room) : room_{room} {}
    /// The tag with the kernel's command line.
    void add_command_line(std::string_view text);
    /// The tag with this program's name as the boot loader's.
    void add_loader_name();
    /// The tag with basic memory information: KiB from address 0 on, and from 1 MiB on.
    void add_basic_memory(std::uint32_t lower_kib, std::uint32_t upper_kib);
    /// The tag with the memory map.
    void add_memory_map(std::span<const MemoryMapEntry> entries);
    /// Ends it. Returns whether there was room for everything.
    bool finish();

   private:
    struct Tag {
        std::uint32_t type, size;
    };
    void add_text(std::uint32_t type, std::string_view text);
    void put(const void* bytes, std::size_t size);
    void align();

    std::span<std::byte> room_;
    std::size_t used_ = 8;  // the total size and a reserved word
};

}  // namespace user
