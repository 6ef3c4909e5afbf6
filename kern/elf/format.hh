// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstdint>

namespace kern::elf {

// What stands in an ELF file, byte for byte, after the specification [elf 4, 5]: little-endian,
// x86.

/// The file's first 16 bytes, e_ident: the same in both classes.
struct Identification {
    std::array<std::uint8_t, 4> magic;    ///< see elf_magic
    std::uint8_t file_class;              ///< see class_64: how wide addresses and offsets are
    std::uint8_t data;                    ///< see little_endian
    std::uint8_t version;                 ///< see current_version
    std::array<std::uint8_t, 9> padding;  ///< may be anything
};
static_assert(sizeof(Identification) == 16);

/// What `magic` must be: a byte that no text begins with, and three letters.
inline constexpr std::array<std::uint8_t, 4> elf_magic{0x7f, 'E', 'L', 'F'};
///@{
/// Values of file_class.
inline constexpr std::uint8_t class_32 = 1, class_64 = 2;
///@}
///@{
/// Values of data: in which order a number's bytes stand.
inline constexpr std::uint8_t little_endian = 1, big_endian = 2;
///@}
/// The one value of version and of e_version.
inline constexpr std::uint32_t current_version = 1;
/// e_type of an executable that is linked to fixed addresses.
inline constexpr std::uint16_t et_exec = 2;
///@{
/// e_machine: of an ELF32 file and of an ELF64 file that this kernel takes.
inline constexpr std::uint16_t em_386 = 3, em_x86_64 = 62;
///@}

/// The file header, at offset 0. `Word` is as wide as an address of the class.
template <class Word>
struct FileHeader {
    Identification e_ident;     ///< how to read the rest
    std::uint16_t e_type;       ///< see et_exec
    std::uint16_t e_machine;    ///< see em_x86_64
    std::uint32_t e_version;    ///< see current_version
    Word e_entry;               ///< the first instruction, a virtual address
    Word e_phoff;               ///< where in the file the program header table begins
    Word e_shoff;               ///< likewise of the section headers, which no loader needs
    std::uint32_t e_flags;      ///< nothing on x86
    std::uint16_t e_ehsize;     ///< bytes of this header
    std::uint16_t e_phentsize;  ///< bytes of one program header: from the one to the next
    std::uint16_t e_phnum;      ///< number of program headers
    std::uint16_t e_shentsize;  ///< bytes of one section header
    std::uint16_t e_shnum;      ///< number of section headers
    std::uint16_t e_shstrndx;   ///< which section holds the names of sections
};
///@{
/// The file header of one class.
using FileHeader32 = FileHeader<std::uint32_t>;
using FileHeader64 = FileHeader<std::uint64_t>;
///@}
static_assert(sizeof(FileHeader32) == 52 && sizeof(FileHeader64) == 64);

///@{
/// Values of p_type: a segment that is loaded, one that says something about the file.
inline constexpr std::uint32_t pt_load = 1, pt_note = 4;
///@}
///@{
/// Bits of p_flags.
inline constexpr std::uint32_t pf_x = 1, pf_w = 2, pf_r = 4;
///@}

/// A program header of an ELF64 file, and the form in which this kernel keeps those of both
/// classes. All values are as the file gives them and may be hostile.
struct ProgramHeader {
    std::uint32_t p_type = 0;    ///< what it describes; see pt_load
    std::uint32_t p_flags = 0;   ///< see pf_x
    std::uint64_t p_offset = 0;  ///< first byte in the file
    std::uint64_t p_vaddr = 0;   ///< first byte in virtual memory
    std::uint64_t p_paddr = 0;   ///< first byte in physical memory
    std::uint64_t p_filesz = 0;  ///< bytes in the file
    std::uint64_t p_memsz = 0;   ///< bytes in memory
    std::uint64_t p_align = 0;   ///< how the linker placed it; not used here
};
static_assert(sizeof(ProgramHeader) == 56);

/// A program header of an ELF32 file: other widths, and p_flags stands elsewhere.
struct ProgramHeader32 {
    ///@{
    /// As in ProgramHeader.
    std::uint32_t p_type, p_offset, p_vaddr, p_paddr, p_filesz, p_memsz, p_flags, p_align;
    ///@}
};
static_assert(sizeof(ProgramHeader32) == 32);

}  // namespace kern::elf
