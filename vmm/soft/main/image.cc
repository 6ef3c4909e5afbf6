// SPDX-License-Identifier: MIT
#include "vmm/soft/main/image.hh"

#include <algorithm>
#include <cstring>

#include "kern/arch/arch.hh"
#include "kern/elf/elf.hh"
#include "vmm/frame_owners.hh"

namespace vmm::soft {
namespace {

using kern::elf::ProgramHeader;

constexpr char note_name[] = "Nestling";
constexpr std::uint32_t sites_type = 1, code_type = 2;
constexpr std::size_t most_sites = 64;  // of Sites

/// What stands before a note's name [elf, "Note Section"].
struct NoteHeader {
    std::uint32_t name_size, description_size, type;
};
constexpr std::uint64_t padded(std::uint64_t size) {
    return (size + 3) & ~std::uint64_t{3};
}

std::expected<std::span<std::byte>, Error> bytes_of(std::span<std::byte> image,
                                                    const ProgramHeader& header) {
    if (header.p_offset > image.size() || header.p_filesz > image.size() - header.p_offset ||
        header.p_filesz > header.p_memsz)
        return std::unexpected{Error::Truncated};
    return image.subspan(header.p_offset, header.p_filesz);
}

/// Where instructions are, all of it.
struct CodeNote {
    std::uint32_t begin, end;
};

/// What the notes say.
struct Notes {
    kern::FixedList<SiteNote, most_sites + 1> sites;  // one more is one too many
    kern::FixedList<CodeNote, 8> code;

    std::span<const SiteNote> all_sites() const { return {sites.begin(), sites.size()}; }
};

/// Appends the entries of one note to `list`.
template <typename List>
std::expected<void, Error> append(std::span<const std::byte> description, List& list) {
    auto entry = list[0];
    for (; description.size() >= sizeof(entry); description = description.subspan(sizeof(entry))) {
        std::memcpy(&entry, description.data(), sizeof(entry));
        if (!list.push(entry)) return std::unexpected{Error::OutOfMemory};
    }
    return {};
}

std::expected<void, Error> read_notes(std::span<const std::byte> bytes, Notes& notes) {
    while (!bytes.empty()) {
        NoteHeader header{};
        if (bytes.size() < sizeof(header)) return std::unexpected{Error::Truncated};
        std::memcpy(&header, bytes.data(), sizeof(header));
        const std::uint64_t description = sizeof(header) + padded(header.name_size);
        const std::uint64_t size = description + padded(header.description_size);
        if (size > bytes.size()) return std::unexpected{Error::Truncated};
        const auto entries = bytes.subspan(description, header.description_size);
        const bool is_ours =
            header.name_size == sizeof(note_name) &&
            std::memcmp(bytes.data() + sizeof(header), note_name, sizeof(note_name)) == 0;
        std::expected<void, Error> done{};
        if (is_ours && header.type == sites_type) done = append(entries, notes.sites);
        if (is_ours && header.type == code_type) done = append(entries, notes.code);
        if (!done) return done;
        bytes = bytes.subspan(size);
    }
    return {};
}

std::expected<Notes, Error> read_notes(std::span<std::byte> image,
                                       const kern::elf::Executable& executable) {
    Notes notes;
    for (const ProgramHeader& header : executable.program_headers()) {
        if (header.p_type != kern::elf::pt_note) continue;
        const auto bytes = bytes_of(image, header);
        if (!bytes) return std::unexpected{bytes.error()};
        if (const auto read = read_notes(*bytes, notes); !read)
            return std::unexpected{read.error()};
    }
    return notes;
}

/// Looks at the code that the notes name, and rewrites their sites if `sites` is not nullptr.
std::expected<void, Refusal> prepare(std::span<std::byte> text, std::uint32_t address,
                                     const Notes& notes, Sites* sites) {
    for (const auto [begin, end] : notes.code) {
        if (begin < address || end < begin || end - address > text.size())
            return std::unexpected{Refusal{Error::OutOfRange}};
        const auto code = text.subspan(begin - address, end - begin);
        if (const auto done = check_code(code, begin, notes.all_sites()); !done)
            return std::unexpected{Refusal{Error::Unsupported, done.error()}};
    }
    if (sites != nullptr)
        if (const auto done = rewrite_sensitive(text, address, notes.all_sites(), *sites); !done)
            return std::unexpected{Refusal{done.error()}};
    return {};
}

/// The first segment that is executable; nullptr: there is none.
const ProgramHeader* text_of(const kern::elf::Executable& executable) {
    for (const ProgramHeader& header : executable.program_headers())
        if (header.p_type == kern::elf::pt_load && (header.p_flags & kern::elf::pf_x) != 0)
            return &header;
    return nullptr;
}

std::expected<void, Refusal> prepare(std::span<std::byte> image,
                                     const kern::elf::Executable& executable, Sites* sites) {
    const auto notes = read_notes(image, executable);
    if (!notes) return std::unexpected{Refusal{notes.error()}};
    const ProgramHeader* const header = text_of(executable);
    if (header == nullptr) return {};
    const auto text = bytes_of(image, *header);
    if (!text) return std::unexpected{Refusal{text.error()}};
    return prepare(*text, static_cast<std::uint32_t>(header->p_vaddr), *notes, sites);
}

}  // namespace

std::expected<void, Error> SoftMemory::create() {
    for (Hpa& frame : frames_) {
        const auto made = kern::frames().allocate(frame_owner::guest_memory);
        if (!made) return std::unexpected{made.error()};
        frame = *made;
    }
    return {};
}

SoftMemory::~SoftMemory() {
    for (const Hpa frame : frames_)
        if (frame != Hpa{}) kern::frames().free(frame_owner::guest_memory, frame);
}

std::expected<Hpa, Error> SoftMemory::gpa2hpa(Gpa gpa) const {
    if (gpa.value() / page_size >= pages) return std::unexpected{Error::NotFound};
    return frames_[gpa.value() / page_size] + gpa.page_offset();
}

std::expected<void, Error> SoftMemory::write(std::uint64_t address,
                                             std::span<const std::byte> bytes) {
    constexpr std::uint64_t size = pages * page_size;
    if (address > size || bytes.size() > size - address) return std::unexpected{Error::OutOfRange};
    while (!bytes.empty()) {
        const std::size_t piece =
            std::min<std::size_t>(bytes.size(), page_size - address % page_size);
        std::memcpy(kern::arch::direct_map(frames_[address / page_size] + address % page_size),
                    bytes.data(), piece);
        bytes = bytes.subspan(piece);
        address += piece;
    }
    return {};
}

std::expected<std::uint32_t, Refusal> load_image(std::span<std::byte> image, SoftMemory& memory,
                                                 Sites* sites) {
    const kern::MemoryPeeker file{image};
    const auto executable = kern::elf::elf_decode(file);
    if (!executable) return std::unexpected{Refusal{executable.error()}};
    if (executable->header().is_64_bit) return std::unexpected{Refusal{Error::Unsupported}};
    if (const auto done = prepare(image, *executable, sites); !done)
        return std::unexpected{done.error()};
    for (const ProgramHeader& header : executable->program_headers()) {
        if (header.p_type != kern::elf::pt_load) continue;
        if (header.p_vaddr != header.p_paddr) return std::unexpected{Refusal{Error::Unsupported}};
        const auto bytes = bytes_of(image, header);
        if (!bytes) return std::unexpected{Refusal{bytes.error()}};
        if (const auto done = memory.write(header.p_paddr, *bytes); !done)
            return std::unexpected{Refusal{done.error()}};
    }
    return static_cast<std::uint32_t>(executable->header().entry);
}

}  // namespace vmm::soft
