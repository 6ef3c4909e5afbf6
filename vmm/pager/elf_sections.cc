// SPDX-License-Identifier: MIT
#include "vmm/pager/elf_sections.hh"

#include "kern/elf/format.hh"

namespace vmm {
namespace {

// Bytes of a section header of each class [elf 4].
constexpr std::uint16_t section_header_32 = 40, section_header_64 = 64;

template <class FileHeader>
std::expected<SectionTable, Error> find(const kern::Peeker& file, std::uint16_t least_size) {
    const auto header = kern::peek_value<FileHeader>(file, 0);
    if (!header) return std::unexpected(header.error());
    if (header->e_shoff == 0 || header->e_shnum == 0) return SectionTable{};
    if (header->e_shentsize < least_size) return std::unexpected(Error::BadFormat);
    const SectionTable table{.offset = header->e_shoff,
                             .count = header->e_shnum,
                             .entry_size = header->e_shentsize,
                             .names = header->e_shstrndx};
    if (table.offset > file.size() || table.bytes() > file.size() - table.offset)
        return std::unexpected(Error::Truncated);
    return table;
}

}  // namespace

std::expected<SectionTable, Error> find_section_table(const kern::Peeker& file) {
    const auto identification = kern::peek_value<kern::elf::Identification>(file, 0);
    if (!identification) return std::unexpected(identification.error());
    return identification->file_class == kern::elf::class_64
               ? find<kern::elf::FileHeader64>(file, section_header_64)
               : find<kern::elf::FileHeader32>(file, section_header_32);
}

}  // namespace vmm
