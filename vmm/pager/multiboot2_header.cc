// SPDX-License-Identifier: MIT
#include "vmm/pager/multiboot2_header.hh"

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <new>
#include <span>

namespace vmm {

namespace {

// [multiboot2 3.1.1, 3.1.2]
constexpr std::uint32_t header_magic = 0xe852'50d6;
constexpr std::uint32_t architecture_i386 = 0;
constexpr std::size_t search_limit = 32768;
constexpr std::size_t header_alignment = 8;
struct FixedPart {
    std::uint32_t magic, architecture, length, checksum;
};
static_assert(sizeof(FixedPart) == 16);

// [multiboot2 3.1.3 and after]
struct Tag {
    std::uint16_t type, flags;
    std::uint32_t size;
};
static_assert(sizeof(Tag) == 8);
constexpr std::uint16_t tag_flag_optional = 1;
constexpr std::uint16_t tag_end = 0;
constexpr std::uint16_t tag_information_request = 1;
constexpr std::uint16_t tag_module_alignment = 6;

// [multiboot2 3.6]: the information that finalize_mem writes.
constexpr std::array<std::uint32_t, 3> served_information{1, 2, 6};

template <class T>
T read(std::span<const std::byte> bytes, std::size_t offset) {
    T value;
    std::memcpy(&value, bytes.data() + offset, sizeof value);
    return value;
}

std::unexpected<HeaderRefusal> refuse(Error error, const char* reason) {
    return std::unexpected(HeaderRefusal{error, reason});
}

std::expected<void, HeaderRefusal> check_request(std::span<const std::byte> wanted) {
    for (std::size_t i = 0; i + sizeof(std::uint32_t) <= wanted.size(); i += sizeof(std::uint32_t))
        if (std::ranges::find(served_information, read<std::uint32_t>(wanted, i)) ==
            served_information.end())
            return refuse(Error::Unsupported,
                          "its multiboot2 header requires information that is not served");
    return {};
}

/// `tags`: from behind the fixed part to the header's end.
std::expected<void, HeaderRefusal> check_tags(std::span<const std::byte> tags) {
    while (tags.size() >= sizeof(Tag)) {
        const auto tag = read<Tag>(tags, 0);
        if (tag.type == tag_end) return {};
        if (tag.size < sizeof(Tag) || tag.size > tags.size()) break;
        if ((tag.flags & tag_flag_optional) == 0) {
            if (tag.type == tag_information_request) {
                const auto done = check_request(tags.subspan(sizeof(Tag), tag.size - sizeof(Tag)));
                if (!done) return done;
            } else if (tag.type != tag_module_alignment) {
                return refuse(Error::Unsupported,
                              "its multiboot2 header requires a tag that is not served");
            }
        }
        tags = tags.subspan(std::min(kern::align_up(tag.size, header_alignment), tags.size()));
    }
    return refuse(Error::BadFormat, "its multiboot2 header is damaged: a tag leaves it");
}

}  // namespace

std::expected<void, HeaderRefusal> check_multiboot2_header(const kern::File& kernel) {
    const std::unique_ptr<std::byte[]> buffer{new (std::nothrow) std::byte[search_limit]};
    if (!buffer) return refuse(Error::OutOfMemory, "looking for its multiboot2 header");
    const auto length = kernel.read(0, {buffer.get(), search_limit});
    if (!length) return refuse(length.error(), "looking for its multiboot2 header");
    const std::span<const std::byte> bytes{buffer.get(), *length};
    for (std::size_t at = 0; at + sizeof(FixedPart) <= bytes.size(); at += header_alignment) {
        const auto fixed = read<FixedPart>(bytes, at);
        if (fixed.magic != header_magic ||
            fixed.magic + fixed.architecture + fixed.length + fixed.checksum != 0)
            continue;
        if (fixed.architecture != architecture_i386)
            return refuse(Error::Unsupported, "its multiboot2 header is for another architecture");
        if (fixed.length < sizeof(FixedPart) || fixed.length > bytes.size() - at) break;
        return check_tags(bytes.subspan(at, fixed.length).subspan(sizeof(FixedPart)));
    }
    return refuse(Error::BadFormat, "no whole multiboot2 header in its first 32 KiB");
}

}  // namespace vmm
