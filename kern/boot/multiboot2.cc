// SPDX-License-Identifier: MIT
#include "kern/boot/acpi.hh"
#include "kern/boot/boot_info.hh"
#include "kern/boot/bytes.hh"
#include "kern/boot/memory_map.hh"

namespace kern {
namespace {

// [multiboot2 3.6]: a header, then tags, each aligned to 8 bytes, up to one of type 0.
struct Header {
    std::uint32_t total_size, reserved;
};
struct Tag {
    std::uint32_t type, size;
};
namespace tag {
constexpr std::uint32_t end = 0, command_line = 1, module = 3, memory_map = 6, acpi_old = 14,
                        acpi_new = 15;
}
struct ModuleTag {
    Tag tag;
    std::uint32_t begin, end;  // and a text
};
struct MemoryMapTag {
    Tag tag;
    std::uint32_t entry_size, entry_version;  // and entries
};
struct MemoryMapEntry {
    std::uint64_t address, length;
    std::uint32_t type, reserved;
};
static_assert(sizeof(ModuleTag) == 16 && sizeof(MemoryMapTag) == 16 &&
              sizeof(MemoryMapEntry) == 24);
constexpr std::uint64_t tag_alignment = 8;

std::expected<void, Error> read_memory_map(BootInfo& boot, Bytes tag_bytes) {
    const auto head = value_at<MemoryMapTag>(tag_bytes, 0);
    if (!head || head->entry_size < sizeof(MemoryMapEntry))
        return std::unexpected{Error::BadFormat};
    for (std::uint64_t at = sizeof(MemoryMapTag); at < tag_bytes.size(); at += head->entry_size) {
        const auto entry = value_at<MemoryMapEntry>(tag_bytes, at);
        if (!entry) return std::unexpected{Error::Truncated};
        add_memory(boot, entry->address, entry->length, entry->type);
    }
    return {};
}

std::expected<void, Error> read_tag(BootInfo& boot, Bytes bytes, std::uint32_t type, Hpa place) {
    switch (type) {
        case tag::command_line:
            boot.command_line.assign(text_at(bytes, sizeof(Tag), bytes.size()));
            return {};
        case tag::module: {
            const auto head = value_at<ModuleTag>(bytes, 0);
            if (!head || head->end < head->begin) return std::unexpected{Error::BadFormat};
            BootModule module{{Hpa{head->begin}, Hpa{head->end}}, {}};
            module.text.assign(text_at(bytes, sizeof(ModuleTag), bytes.size()));
            if (!boot.modules.push(module)) ++boot.modules_left_out;
            return {};
        }
        case tag::memory_map: return read_memory_map(boot, bytes);
        case tag::acpi_old:
            if (bytes.size() >= sizeof(Tag) + acpi::rsdp_size_1 && boot.rsdp == Hpa{})
                boot.rsdp = place + sizeof(Tag);
            return {};
        case tag::acpi_new:
            if (bytes.size() >= sizeof(Tag) + acpi::rsdp_size_2) boot.rsdp = place + sizeof(Tag);
            return {};
        default: return {};  // a tag that does not concern this kernel
    }
}

}  // namespace

std::expected<BootInfo, Error> parse_multiboot2(std::span<const std::byte> memory, Hpa info) {
    const auto header = value_at<Header>(memory, info.value());
    if (!header) return std::unexpected{Error::Truncated};
    const auto bytes = bytes_at(memory, info.value(), header->total_size);
    if (!bytes) return std::unexpected{Error::Truncated};

    BootInfo boot;
    boot.protocol = BootProtocol::Multiboot2;
    boot.reserved.add({info, info + header->total_size});
    for (std::uint64_t at = sizeof(Header);;) {
        const auto head = value_at<Tag>(*bytes, at);
        if (!head) return std::unexpected{Error::Truncated};
        if (head->type == tag::end) break;
        if (head->size < sizeof(Tag)) return std::unexpected{Error::BadFormat};
        const auto tag_bytes = bytes_at(*bytes, at, head->size);
        if (!tag_bytes) return std::unexpected{Error::Truncated};
        if (const auto read = read_tag(boot, *tag_bytes, head->type, info + at); !read)
            return std::unexpected{read.error()};
        at = align_up(at + head->size, tag_alignment);
    }
    if (boot.usable.size() == 0) return std::unexpected{Error::BadFormat};
    return boot;
}

}  // namespace kern
