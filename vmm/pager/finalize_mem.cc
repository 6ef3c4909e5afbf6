// SPDX-License-Identifier: MIT
#include <algorithm>
#include <bit>
#include <cstring>

#include "kern/mm/frame_allocator.hh"
#include "vmm/frame_owners.hh"
#include "vmm/pager/kernel_vm_pager.hh"

namespace vmm {
namespace {

// The multiboot2 information structure [multiboot2 3.6]: a fixed part, then tags, each padded to 8
// bytes.
constexpr std::uint32_t tag_end = 0;
constexpr std::uint32_t tag_command_line = 1;
constexpr std::uint32_t tag_boot_loader_name = 2;
constexpr std::uint32_t tag_memory_map = 6;
constexpr std::uint32_t memory_available = 1;
constexpr std::size_t tag_alignment = 8;
constexpr std::string_view boot_loader_name = "Nestling";

struct FixedPart {
    std::uint32_t total_size = 0;
    std::uint32_t reserved = 0;
};
struct Tag {
    std::uint32_t type = 0;
    std::uint32_t size = 0;  // this header included, padding not
};
struct MemoryMapHeader {
    std::uint32_t entry_size = 0;
    std::uint32_t entry_version = 0;
};
struct MemoryMapEntry {
    std::uint64_t base = 0;
    std::uint64_t length = 0;
    std::uint32_t type = 0;
    std::uint32_t reserved = 0;
};
static_assert(sizeof(Tag) == 8 && sizeof(MemoryMapHeader) == 8 && sizeof(MemoryMapEntry) == 24);

/// Appends to a page. Once something does not fit, all is void: see `fits`.
class Writer {
   public:
    explicit Writer(std::span<std::byte, page_size> page) : page_{page} {}

    void append(const void* data, std::size_t size) {
        if (size > page_.size() - position_) {
            fits_ = false;
            return;
        }
        if (size != 0) std::memcpy(page_.data() + position_, data, size);  // data may be null
        position_ += size;
    }
    template <class T>
    void append(const T& value) {
        append(&value, sizeof value);
    }
    void append_text_tag(std::uint32_t type, std::string_view text) {
        constexpr char terminator = 0;
        append(
            Tag{.type = type, .size = static_cast<std::uint32_t>(sizeof(Tag) + text.size() + 1)});
        append(text.data(), text.size());
        append(terminator);
        pad();
    }
    /// Overwrites what was appended at `position`.
    template <class T>
    void put(std::size_t position, const T& value) {
        std::memcpy(page_.data() + position, &value, sizeof value);
    }
    void pad() { position_ = std::min(kern::align_up(position_, tag_alignment), page_size); }
    std::uint32_t position() const { return static_cast<std::uint32_t>(position_); }
    bool fits() const { return fits_; }

   private:
    std::span<std::byte, page_size> page_;
    std::size_t position_ = 0;
    bool fits_ = true;
};

void append_memory_map(Writer& writer, std::span<const Loader> loaders) {
    const std::uint32_t start = writer.position();
    writer.append(Tag{});
    writer.append(MemoryMapHeader{.entry_size = sizeof(MemoryMapEntry)});
    for (std::size_t i = 0; i < loaders.size();) {
        const Gpa begin = loaders[i].begin().page();
        Gpa end = begin;
        for (; i < loaders.size() && loaders[i].begin().page() <= end; ++i)
            end = Gpa{kern::align_up(loaders[i].end().value(), page_size)};
        writer.append(
            MemoryMapEntry{.base = begin.value(), .length = end - begin, .type = memory_available});
    }
    if (writer.fits())
        writer.put(start, Tag{.type = tag_memory_map, .size = writer.position() - start});
}

}  // namespace

std::expected<Gpa, Error> KernelVmPager::finalize_mem(std::string_view command_line, Gpa at) {
    if (!at.is_aligned()) return std::unexpected(Error::Unaligned);
    const auto loaders = loaders_.on_page(at);
    if (loaders.empty()) return std::unexpected(Error::NotFound);
    const Gpa end = at + page_size;
    if (loaders.size() != 1 || !loaders[0].is_zeros() || at < loaders[0].begin() ||
        loaders[0].end() < end)
        return std::unexpected(Error::Overlap);

    auto frame = kern::Frame::allocate(frame_owner::guest_memory);
    if (!frame) return std::unexpected(frame.error());
    Writer writer{frame->bytes()};
    writer.append(FixedPart{});
    writer.append_text_tag(tag_command_line, command_line);
    writer.append_text_tag(tag_boot_loader_name, boot_loader_name);
    append_memory_map(writer, loaders_.all());
    writer.append(Tag{.type = tag_end, .size = sizeof(Tag)});
    if (!writer.fits()) return std::unexpected(Error::OutOfRange);
    writer.put(0, FixedPart{.total_size = writer.position()});

    auto mapped = table_.map(at, frame->address(), read_write_execute);
    if (!mapped) return std::unexpected(mapped.error());
    if (auto removed = loaders_.remove(at, end); !removed) {
        (void)table_.unmap(at);  // the frame goes back with `frame`
        return std::unexpected(removed.error());
    }
    frame->release();
    return at;
}

}  // namespace vmm
