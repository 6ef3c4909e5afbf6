// SPDX-License-Identifier: MIT
#include "kern/elf/elf.hh"

namespace kern::elf {
namespace {

/// Behind the magic number, which has been looked at.
std::expected<void, Error> check_identification(const Identification& identification) {
    if (identification.file_class != class_32 && identification.file_class != class_64)
        return std::unexpected(Error::BadFormat);
    if (identification.data == big_endian) return std::unexpected(Error::Unsupported);
    if (identification.data != little_endian || identification.version != current_version)
        return std::unexpected(Error::BadFormat);
    return {};
}

ProgramHeader widened(const ProgramHeader& header) {
    return header;
}

ProgramHeader widened(const ProgramHeader32& header) {
    return {.p_type = header.p_type,
            .p_flags = header.p_flags,
            .p_offset = header.p_offset,
            .p_vaddr = header.p_vaddr,
            .p_paddr = header.p_paddr,
            .p_filesz = header.p_filesz,
            .p_memsz = header.p_memsz,
            .p_align = header.p_align};
}

/// The rest, where `Word` and `Entry` are an address and a program header of the class, and
/// `machine` is what goes with it.
template <class Word, class Entry>
std::expected<Executable, Error> decode(const Peeker& file, std::uint16_t machine) {
    const auto header = peek_value<FileHeader<Word>>(file, 0);
    if (!header) return std::unexpected(header.error());
    if (header->e_version != current_version) return std::unexpected(Error::BadFormat);
    if (header->e_type != et_exec || header->e_machine != machine)
        return std::unexpected(Error::Unsupported);
    if (header->e_phnum == 0 || header->e_phentsize < sizeof(Entry))
        return std::unexpected(Error::BadFormat);
    if (header->e_phnum > max_program_headers) return std::unexpected(Error::Unsupported);
    // Compared by subtraction: the sum may wrap. From here on every offset lies in the file.
    const std::uint64_t table_size = std::uint64_t{header->e_phnum} * header->e_phentsize;
    if (header->e_phoff > file.size() || table_size > file.size() - header->e_phoff)
        return std::unexpected(Error::Truncated);

    std::expected<Executable, Error> executable{
        std::in_place, file,
        Header{.entry = header->e_entry,
               .program_header_offset = header->e_phoff,
               .program_header_count = header->e_phnum,
               .program_header_size = header->e_phentsize,
               .machine = header->e_machine,
               .is_64_bit = sizeof(Word) == sizeof(std::uint64_t)}};
    for (std::uint64_t i = 0; i < header->e_phnum; ++i) {
        const auto entry = peek_value<Entry>(file, header->e_phoff + i * header->e_phentsize);
        if (!entry) return std::unexpected(entry.error());
        executable->add(widened(*entry));
    }
    return executable;
}

}  // namespace

std::expected<Executable, Error> elf_decode(const Peeker& file) {
    // What is no ELF file is told so even if it is short.
    if (file.size() < elf_magic.size()) return std::unexpected(Error::BadFormat);
    const auto magic = peek_value<std::array<std::uint8_t, 4>>(file, 0);
    if (!magic) return std::unexpected(magic.error());
    if (*magic != elf_magic) return std::unexpected(Error::BadFormat);
    const auto identification = peek_value<Identification>(file, 0);
    if (!identification) return std::unexpected(identification.error());
    if (const auto checked = check_identification(*identification); !checked)
        return std::unexpected(checked.error());
    return identification->file_class == class_64
               ? decode<std::uint64_t, ProgramHeader>(file, em_x86_64)
               : decode<std::uint32_t, ProgramHeader32>(file, em_386);
}

}  // namespace kern::elf
