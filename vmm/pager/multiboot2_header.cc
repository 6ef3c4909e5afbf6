// SPDX-License-Identifier: MIT
#include "vmm/pager/multiboot2_header.hh"

#include <algorithm>
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
constexpr std::uint32_t information_sections = 9;

/// What a tag of the header, or a type of the information, is to us.
struct Kind {
    std::uint32_t type;
    const char* refusal;  // nullptr: it is served
};

// [multiboot2 3.1.5 to 3.1.13]
constexpr Kind tag_kinds[] = {
    {2, "its header requires loading by addresses, not ELF: tag"},
    {3, "its header requires another entry than ELF's: tag"},
    {4, "its header requires a console: tag"},
    {5, "its header requires a framebuffer: tag"},
    {6, nullptr},  // modules at page boundaries: there are none
    {7, nullptr},  // EFI boot services, and its entry points: there is no EFI
    {8, nullptr},
    {9, nullptr},
    {10, "its header requires relocation: tag"},
};
// [multiboot2 3.6.3 and after]; finalize_mem writes what is served.
constexpr Kind information_kinds[] = {
    {1, nullptr},  // command line
    {2, nullptr},  // boot loader's name
    {3, nullptr},  // modules: none
    {4, nullptr},  // basic memory information
    {5, nullptr},  // BIOS boot device: none
    {6, nullptr},  // memory map
    {7, "its header requires VBE modes: information"},
    {8, "its header requires a framebuffer: information"},
    {information_sections, nullptr},
    {10, "its header requires the APM table: information"},
    {11, "its header requires EFI's 32-bit table: information"},
    {12, "its header requires EFI's 64-bit table: information"},
    {13, "its header requires SMBIOS tables: information"},
    {14, "its header requires ACPI's old RSDP: information"},
    {15, "its header requires ACPI's new RSDP: information"},
    {16, "its header requires DHCP's answer: information"},
    {17, "its header requires EFI's memory map: information"},
    {18, "its header requires EFI's boot services: information"},
    {19, "its header requires EFI's 32-bit handle: information"},
    {20, "its header requires EFI's 64-bit handle: information"},
    {21, "its header requires its load address: information"},
};

// [multiboot 3.1]: looked for to say what a kernel is that we do not start.
namespace multiboot1 {
constexpr std::uint32_t magic = 0x1bad'b002;
constexpr std::size_t search_limit = 8192, alignment = 4;
struct Header {
    std::uint32_t magic, flags, checksum;
};
}  // namespace multiboot1

template <class T>
T read(std::span<const std::byte> bytes, std::size_t offset) {
    T value;
    std::memcpy(&value, bytes.data() + offset, sizeof value);
    return value;
}

std::unexpected<Refusal> refuse(Error error, const char* reason,
                                std::optional<std::uint32_t> number = {}) {
    return std::unexpected(Refusal{error, reason, number});
}

/// Whether one that is required is served. `unknown`: the words where it is not in `kinds`.
std::expected<void, Refusal> check(std::span<const Kind> kinds, std::uint32_t type,
                                   const char* unknown) {
    const auto known = std::ranges::find(kinds, type, &Kind::type);
    if (known == kinds.end()) return refuse(Error::Unsupported, unknown, type);
    if (known->refusal != nullptr) return refuse(Error::Unsupported, known->refusal, type);
    return {};
}

std::expected<void, Refusal> check_information(std::span<const std::byte> types, bool required,
                                               Multiboot2Request& request) {
    using Sections = Multiboot2Request::Sections;
    for (std::size_t i = 0; i + sizeof(std::uint32_t) <= types.size(); i += sizeof(std::uint32_t)) {
        const auto type = read<std::uint32_t>(types, i);
        if (type == information_sections && request.sections != Sections::Required)
            request.sections = required ? Sections::Required : Sections::Optional;
        if (!required) continue;
        const auto served =
            check(information_kinds, type, "its header requires what nobody knows: information");
        if (!served) return served;
    }
    return {};
}

/// `tags`: from behind the fixed part to the header's end.
std::expected<Multiboot2Request, Refusal> check_tags(std::span<const std::byte> tags) {
    Multiboot2Request request;
    while (tags.size() >= sizeof(Tag)) {
        const auto tag = read<Tag>(tags, 0);
        if (tag.type == tag_end) return request;
        if (tag.size < sizeof(Tag) || tag.size > tags.size()) break;
        const bool required = (tag.flags & tag_flag_optional) == 0;
        std::expected<void, Refusal> served;
        if (tag.type == tag_information_request)
            served =
                check_information(tags.first(tag.size).subspan(sizeof(Tag)), required, request);
        else if (required)
            served = check(tag_kinds, tag.type, "its header requires what nobody knows: tag");
        if (!served) return std::unexpected(served.error());
        tags = tags.subspan(std::min(kern::align_up(tag.size, header_alignment), tags.size()));
    }
    return refuse(Error::BadFormat, "its multiboot2 header is damaged: a tag leaves it");
}

bool has_multiboot1_header(std::span<const std::byte> file) {
    namespace old = multiboot1;
    const auto bytes = file.first(std::min(file.size(), old::search_limit));
    for (std::size_t at = 0; at + sizeof(old::Header) <= bytes.size(); at += old::alignment) {
        const auto header = read<old::Header>(bytes, at);
        if (header.magic == old::magic && header.magic + header.flags + header.checksum == 0)
            return true;
    }
    return false;
}

}  // namespace

std::expected<Multiboot2Request, Refusal> check_multiboot2_header(const kern::File& kernel) {
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
            return refuse(Error::Unsupported,
                          "its multiboot2 header is for another architecture:", fixed.architecture);
        if (fixed.length < sizeof(FixedPart) || fixed.length > bytes.size() - at) break;
        return check_tags(bytes.subspan(at, fixed.length).subspan(sizeof(FixedPart)));
    }
    if (has_multiboot1_header(bytes))
        return refuse(Error::Unsupported, "it is a multiboot1 kernel: multiboot2 is wanted");
    return refuse(Error::BadFormat, "no whole multiboot2 header in its first 32 KiB");
}

}  // namespace vmm
