// SPDX-License-Identifier: MIT
#include "kern/boot/boot_info.hh"
#include "kern/boot/bytes.hh"
#include "kern/boot/memory_map.hh"

namespace kern {
namespace {

// [xen public/arch-x86/hvm/start_info.h]; addresses are physical.
struct StartInfo {
    std::uint32_t magic, version, flags, module_count;
    std::uint64_t modules, command_line, rsdp;
};
struct StartInfoVersion1 {  // follows StartInfo
    std::uint64_t memory_map;
    std::uint32_t memory_map_entries, reserved;
};
struct ModuleEntry {
    std::uint64_t address, size, command_line, reserved;
};
struct MemoryMapEntry {
    std::uint64_t address, size;
    std::uint32_t type, reserved;
};
static_assert(sizeof(StartInfo) == 40 && sizeof(StartInfoVersion1) == 16);
static_assert(sizeof(ModuleEntry) == 32 && sizeof(MemoryMapEntry) == 24);

constexpr std::size_t longest_text = 4096;

}  // namespace

std::expected<BootInfo, Error> parse_pvh(std::span<const std::byte> memory, Hpa info) {
    const auto start = value_at<StartInfo>(memory, info.value());
    if (!start) return std::unexpected{Error::Truncated};
    // Version 0 has no memory map, and this kernel has no other way to learn of one.
    if (start->magic != pvh_magic || start->version < 1) return std::unexpected{Error::BadFormat};
    const auto more = value_at<StartInfoVersion1>(memory, info.value() + sizeof(StartInfo));
    if (!more) return std::unexpected{Error::Truncated};

    BootInfo boot;
    boot.protocol = BootProtocol::Pvh;
    boot.rsdp = Hpa{start->rsdp};
    if (start->command_line != 0)
        boot.command_line.assign(text_at(memory, start->command_line, longest_text));

    const auto entries = bytes_at(memory, more->memory_map,
                                  std::uint64_t{more->memory_map_entries} * sizeof(MemoryMapEntry));
    const auto modules =
        bytes_at(memory, start->modules, std::uint64_t{start->module_count} * sizeof(ModuleEntry));
    if (!entries || !modules) return std::unexpected{Error::Truncated};
    for (std::uint64_t at = 0; at < entries->size(); at += sizeof(MemoryMapEntry)) {
        const auto entry = *value_at<MemoryMapEntry>(*entries, at);
        add_memory(boot, entry.address, entry.size, entry.type);
    }
    for (std::uint64_t at = 0; at < modules->size(); at += sizeof(ModuleEntry)) {
        const auto entry = *value_at<ModuleEntry>(*modules, at);
        if (entry.address + entry.size < entry.address) return std::unexpected{Error::BadFormat};
        BootModule module{{Hpa{entry.address}, Hpa{entry.address + entry.size}}, {}};
        if (entry.command_line != 0)
            module.text.assign(text_at(memory, entry.command_line, longest_text));
        if (!boot.modules.push(module)) ++boot.modules_left_out;
    }
    if (boot.usable.size() == 0) return std::unexpected{Error::BadFormat};
    return boot;
}

}  // namespace kern
