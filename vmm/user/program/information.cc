// SPDX-License-Identifier: MIT
#include "vmm/user/program/information.hh"

#include <cstring>

namespace user {
namespace {

constexpr std::uint32_t tag_end = 0, tag_command_line = 1, tag_loader_name = 2,
                        tag_basic_memory = 4, tag_memory_map = 6;
constexpr std::size_t tag_alignment = 8;

}  // namespace

void Information::put(const void* bytes, std::size_t size) {
    if (used_ <= room_.size() && size <= room_.size() - used_)
        std::memcpy(room_.data() + used_, bytes, size);
    used_ += size;
}

void Information::align() {
    used_ = (used_ + tag_alignment - 1) / tag_alignment * tag_alignment;
}

void Information::add_text(std::uint32_t type, std::string_view text) {
    const Tag tag{type, static_cast<std::uint32_t>(sizeof(Tag) + text.size() + 1)};
    put(&tag, sizeof(tag));
    put(text.data(), text.size());
    put("", 1);
    align();
}

void Information::add_command_line(std::string_view text) {
    add_text(tag_command_line, text);
}

void Information::add_loader_name() {
    add_text(tag_loader_name, "Nestling's user-level VMM");
}

void Information::add_basic_memory(std::uint32_t lower_kib, std::uint32_t upper_kib) {
    struct {
        Tag tag;
        std::uint32_t lower, upper;
    } const basic{{tag_basic_memory, sizeof(basic)}, lower_kib, upper_kib};
    put(&basic, sizeof(basic));
}

void Information::add_memory_map(std::span<const MemoryMapEntry> entries) {
    struct {
        Tag tag;
        std::uint32_t entry_size, entry_version;
    } const head{{tag_memory_map, static_cast<std::uint32_t>(16 + entries.size_bytes())},
                 sizeof(MemoryMapEntry),
                 0};
    put(&head, sizeof(head));
    put(entries.data(), entries.size_bytes());
    align();
}

bool Information::finish() {
    const Tag end{tag_end, sizeof(Tag)};
    put(&end, sizeof(end));
    const auto total = static_cast<std::uint32_t>(used_);
    if (used_ > room_.size()) return false;
    std::memcpy(room_.data(), &total, sizeof(total));
    return true;
}

}  // namespace user
