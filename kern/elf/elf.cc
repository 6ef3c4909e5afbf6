// SPDX-License-Identifier: MIT
#include "kern/elf/elf.hh"

#include <array>
#include <type_traits>

namespace kern::elf {
namespace {

// The file's own layouts [elf 4, 5]. A file header's first 16 bytes are the same in both classes.

constexpr std::array<std::uint8_t, 4> elf_magic{0x7f, 'E', 'L', 'F'};
constexpr std::uint8_t class_32 = 1, class_64 = 2;
constexpr std::uint8_t little_endian = 1, big_endian = 2;
constexpr std::uint32_t current_version = 1;
constexpr std::uint16_t et_exec = 2;
constexpr std::uint16_t em_386 = 3, em_x86_64 = 62;

struct Identification {
    std::array<std::uint8_t, 4> magic;
    std::uint8_t file_class, data, version;
    std::array<std::uint8_t, 9> padding;
};
static_assert(sizeof(Identification) == 16);

/// The file header, where `Word` is an address or offset of the class.
template <class Word>
struct FileHeader {
    Identification e_ident;
    std::uint16_t e_type, e_machine;
    std::uint32_t e_version;
    Word e_entry, e_phoff, e_shoff;
    std::uint32_t e_flags;
    std::uint16_t e_ehsize, e_phentsize, e_phnum, e_shentsize, e_shnum, e_shstrndx;
};
static_assert(sizeof(FileHeader<std::uint32_t>) == 52 && sizeof(FileHeader<std::uint64_t>) == 64);

struct ProgramHeader32 {
    std::uint32_t p_type, p_offset, p_vaddr, p_paddr, p_filesz, p_memsz, p_flags, p_align;
};
static_assert(sizeof(ProgramHeader32) == 32);

template <class T>
std::expected<T, Error> peek_value(const Peeker& peeker, std::uint64_t offset) {
    static_assert(std::is_trivially_copyable_v<T>);
    T value;
    const auto result = peeker.peek(offset, std::as_writable_bytes(std::span{&value, 1}));
    if (!result) return std::unexpected{result.error()};
    return value;
}

std::expected<void, Error> check_identification(const Identification& identification) {
    if (identification.magic != elf_magic) return std::unexpected{Error::BadFormat};
    if (identification.file_class != class_32 && identification.file_class != class_64)
        return std::unexpected{Error::BadFormat};
    if (identification.data == big_endian) return std::unexpected{Error::Unsupported};
    if (identification.data != little_endian || identification.version != current_version)
        return std::unexpected{Error::BadFormat};
    return {};
}

/// The checks that do not depend on the class, and those of the program header table.
/// `entry_size` is what a program header of the class has, `machine` what e_machine must be.
template <class Word>
std::expected<Header, Error> read_header(const Peeker& peeker, std::uint16_t entry_size,
                                         std::uint16_t machine) {
    const auto file = peek_value<FileHeader<Word>>(peeker, 0);
    if (!file) return std::unexpected{file.error()};
    if (file->e_version != current_version) return std::unexpected{Error::BadFormat};
    if (file->e_type != et_exec || file->e_machine != machine)
        return std::unexpected{Error::Unsupported};
    // Entries may be larger than we know them, never smaller.
    if (file->e_phnum == 0 || file->e_phentsize < entry_size)
        return std::unexpected{Error::BadFormat};
    if (file->e_phnum > max_program_headers) return std::unexpected{Error::Unsupported};
    const std::uint64_t table_size = std::uint64_t{file->e_phnum} * file->e_phentsize;
    if (file->e_phoff > peeker.size() || table_size > peeker.size() - file->e_phoff)
        return std::unexpected{Error::Truncated};
    return Header{.entry = file->e_entry,
                  .program_header_offset = file->e_phoff,
                  .program_header_count = file->e_phnum,
                  .program_header_size = file->e_phentsize,
                  .machine = file->e_machine,
                  .is_64_bit = sizeof(Word) == sizeof(std::uint64_t)};
}

}  // namespace

std::expected<Executable, Error> Executable::parse(const Peeker& peeker) {
    // What is no ELF file is told so even if it is short.
    const auto magic = peek_value<std::array<std::uint8_t, 4>>(peeker, 0);
    if (!magic) return std::unexpected{magic.error()};
    if (*magic != elf_magic) return std::unexpected{Error::BadFormat};
    const auto identification = peek_value<Identification>(peeker, 0);
    if (!identification) return std::unexpected{identification.error()};
    if (const auto result = check_identification(*identification); !result)
        return std::unexpected{result.error()};

    const auto header = identification->file_class == class_64
                            ? read_header<std::uint64_t>(peeker, sizeof(ProgramHeader), em_x86_64)
                            : read_header<std::uint32_t>(peeker, sizeof(ProgramHeader32), em_386);
    if (!header) return std::unexpected{header.error()};
    return Executable{peeker, *header};
}

std::expected<ProgramHeader, Error> Executable::program_header(std::uint16_t index) const {
    if (index >= header_.program_header_count) return std::unexpected{Error::OutOfRange};
    const std::uint64_t offset =
        header_.program_header_offset + std::uint64_t{index} * header_.program_header_size;
    if (header_.is_64_bit) return peek_value<ProgramHeader>(*peeker_, offset);

    const auto narrow = peek_value<ProgramHeader32>(*peeker_, offset);
    if (!narrow) return std::unexpected{narrow.error()};
    return ProgramHeader{.p_type = narrow->p_type,
                         .p_flags = narrow->p_flags,
                         .p_offset = narrow->p_offset,
                         .p_vaddr = narrow->p_vaddr,
                         .p_paddr = narrow->p_paddr,
                         .p_filesz = narrow->p_filesz,
                         .p_memsz = narrow->p_memsz,
                         .p_align = narrow->p_align};
}

}  // namespace kern::elf
