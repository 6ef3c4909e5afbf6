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
constexpr std::uint32_t tag_basic_memory = 4;
constexpr std::uint32_t tag_memory_map = 6;
constexpr std::uint32_t tag_sections = 9;
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
/// In KiB: RAM from 0 on, and from 1 MiB on up to the first gap.
struct BasicMemory {
    std::uint32_t lower = 0, upper = 0;
};
/// The specification's text has 16-bit fields, its multiboot2.h and every boot loader these.
struct SectionsHeader {
    std::uint32_t count = 0, entry_size = 0, names = 0;
};
static_assert(sizeof(Tag) == 8 && sizeof(MemoryMapHeader) == 8 && sizeof(MemoryMapEntry) == 24 &&
              sizeof(BasicMemory) == 8 && sizeof(SectionsHeader) == 12);

/// Appends to a page. Once something does not fit, all is void: see `fits`.
class Writer {
   public:
    explicit Writer(std::span<std::byte, page_size> page) : page_{page} {}

    void append(const void* data, std::size_t size) {
        if (size > room()) {
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
    /// The next `size` bytes, for somebody to fill, or none.
    std::span<std::byte> take(std::size_t size) {
        fits_ = fits_ && size <= room();
        if (!fits_) return {};
        const auto taken = std::span{page_}.subspan(position_, size);
        position_ += size;
        return taken;
    }
    /// Overwrites what was appended at `position`.
    template <class T>
    void put(std::size_t position, const T& value) {
        std::memcpy(page_.data() + position, &value, sizeof value);
    }
    void pad() { position_ = std::min(kern::align_up(position_, tag_alignment), page_size); }
    std::size_t room() const { return page_.size() - position_; }
    std::uint32_t position() const { return static_cast<std::uint32_t>(position_); }
    bool fits() const { return fits_; }

   private:
    std::span<std::byte, page_size> page_;
    std::size_t position_ = 0;
    bool fits_ = true;
};

/// Calls `visit` with begin and end of each range of pages that have a registered byte.
template <class Visit>
void for_each_range(std::span<const Loader> loaders, Visit visit) {
    for (std::size_t i = 0; i < loaders.size();) {
        const Gpa begin = loaders[i].begin().page();
        Gpa end = begin;
        for (; i < loaders.size() && loaders[i].begin().page() <= end; ++i)
            end = Gpa{kern::align_up(loaders[i].end().value(), page_size)};
        visit(begin, end);
    }
}

void append_basic_memory(Writer& writer, std::span<const Loader> loaders) {
    constexpr std::uint64_t kib = 1024;
    constexpr Gpa lower_begin{0}, lower_limit{640 * kib}, upper_begin{1024 * kib};
    BasicMemory memory;
    for_each_range(loaders, [&](Gpa begin, Gpa end) {
        const auto kib_from = [&](Gpa from, Gpa limit) {
            return begin <= from && from < end
                       ? static_cast<std::uint32_t>((std::min(end, limit) - from) / kib)
                       : 0U;
        };
        memory.lower += kib_from(lower_begin, lower_limit);
        memory.upper += kib_from(upper_begin, Gpa{guest_physical_end});
    });
    writer.append(Tag{.type = tag_basic_memory, .size = sizeof(Tag) + sizeof(BasicMemory)});
    writer.append(memory);
}

void append_memory_map(Writer& writer, std::span<const Loader> loaders) {
    const std::uint32_t start = writer.position();
    writer.append(Tag{});
    writer.append(MemoryMapHeader{.entry_size = sizeof(MemoryMapEntry)});
    for_each_range(loaders, [&](Gpa begin, Gpa end) {
        writer.append(
            MemoryMapEntry{.base = begin.value(), .length = end - begin, .type = memory_available});
    });
    if (writer.fits())
        writer.put(start, Tag{.type = tag_memory_map, .size = writer.position() - start});
}

/// The section headers of `kernel`. Those that do not fit are left out where `may_be_left_out`.
std::expected<void, Error> append_sections(Writer& writer, const SectionTable& table,
                                           const kern::File& kernel, bool may_be_left_out) {
    const auto size =
        static_cast<std::uint32_t>(sizeof(Tag) + sizeof(SectionsHeader) + table.bytes());
    const std::uint64_t needed = kern::align_up(size, tag_alignment) + sizeof(Tag);  // the end tag
    if (may_be_left_out && needed > writer.room()) return {};
    writer.append(Tag{.type = tag_sections, .size = size});
    writer.append(
        SectionsHeader{.count = table.count, .entry_size = table.entry_size, .names = table.names});
    const auto bytes = writer.take(table.bytes());
    const auto read = kernel.read(table.offset, bytes);
    writer.pad();
    if (!read) return std::unexpected(read.error());
    if (*read != bytes.size()) return std::unexpected(Error::ShortRead);
    return {};
}

std::unexpected<Refusal> refuse(Error error, const char* reason) {
    return std::unexpected{Refusal{error, reason}};
}

constexpr const char* no_place = "info=: the page must be RAM outside of the image";
constexpr const char* does_not_fit = "the multiboot2 information must fit a page below 4 GiB";
constexpr const char* no_memory = "no memory for the multiboot2 information";

}  // namespace

std::expected<Gpa, Refusal> KernelVmPager::finalize_mem(std::string_view command_line, Gpa at) {
    constexpr Gpa pointer_end{1ULL << 32};  // EBX has 32 bits
    if (!at.is_aligned()) return refuse(Error::Unaligned, "info= must be page-aligned");
    if (at >= pointer_end) return refuse(Error::OutOfRange, does_not_fit);
    const auto loaders = loaders_.on_page(at);
    if (loaders.empty()) return refuse(Error::NotFound, no_place);
    const Gpa end = at + page_size;
    if (loaders.size() != 1 || !loaders[0].is_zeros() || at < loaders[0].begin() ||
        loaders[0].end() < end)
        return refuse(Error::Overlap, no_place);

    auto frame = kern::Frame::allocate(frame_owner::guest_memory);
    if (!frame) return refuse(frame.error(), no_memory);
    Writer writer{frame->bytes()};
    writer.append(FixedPart{});
    writer.append_text_tag(tag_command_line, command_line);
    writer.append_text_tag(tag_boot_loader_name, boot_loader_name);
    append_basic_memory(writer, loaders_.all());
    append_memory_map(writer, loaders_.all());
    if (wanted_sections_ != Multiboot2Request::Sections::No) {
        const bool optional = wanted_sections_ == Multiboot2Request::Sections::Optional;
        const auto done = append_sections(writer, sections_, *kernel_, optional);
        if (!done)
            return refuse(done.error(), "its section headers, which it asks for, cannot be read");
    }
    writer.append(Tag{.type = tag_end, .size = sizeof(Tag)});
    if (!writer.fits()) return refuse(Error::OutOfRange, does_not_fit);
    writer.put(0, FixedPart{.total_size = writer.position()});

    auto mapped = table_.map(at, frame->address(), read_write_execute);
    if (!mapped) return refuse(mapped.error(), no_memory);
    if (auto removed = loaders_.remove(at, end); !removed) {
        (void)table_.unmap(at);  // the frame goes back with `frame`
        return refuse(removed.error(), "too many gaps between its segments");
    }
    frame->release();
    return at;
}

}  // namespace vmm
