// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <expected>

#include "kern/elf/peeker.hh"
#include "kern/lib/error.hh"

namespace kern::elf {

// Layouts after the ELF specification, [elf] chapters 4 and 5: little-endian, x86.

/// p_type of a segment that is loaded.
inline constexpr std::uint32_t pt_load = 1;
///@{
/// Bits of p_flags.
inline constexpr std::uint32_t pf_x = 1, pf_w = 2, pf_r = 4;
///@}
/// The most program headers that this kernel reads from one file; more are refused.
inline constexpr std::uint16_t max_program_headers = 128;

/// A program header, in the 64-bit form whatever the file's class. All values are as the file gives
/// them and may be hostile.
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

/// The fields of the ELF header that a loader needs.
struct Header {
    std::uint64_t entry = 0;                  ///< e_entry, a virtual address
    std::uint64_t program_header_offset = 0;  ///< of their table in the file
    std::uint16_t program_header_count = 0;   ///< 1 to max_program_headers
    std::uint16_t program_header_size = 0;    ///< bytes per entry in the file
    std::uint16_t machine = 0;                ///< e_machine
    bool is_64_bit = false;                   ///< ELF64, otherwise ELF32
};

/// An executable whose header was checked. Program headers are read one by one on demand.
class Executable {
   public:
    /// Checks magic, class (ELF32 or ELF64), little-endian, version, e_type ET_EXEC, machine (x86
    /// or x86-64), and that the program header table lies within the file and has 1 to
    /// max_program_headers entries. `peeker` must outlive the result.
    /// Errors: BadFormat (not ELF, or a field that no ELF file has), Truncated (a header or the
    /// table leaves the file), Unsupported (another type, machine or byte order; too many program
    /// headers), or the peeker's.
    static std::expected<Executable, Error> parse(const Peeker& peeker);

    /// What parse() has checked.
    const Header& header() const { return header_; }
    /// Where the file's bytes come from.
    const Peeker& peeker() const { return *peeker_; }

    /// Program header number `index`. Errors: OutOfRange, or the peeker's.
    std::expected<ProgramHeader, Error> program_header(std::uint16_t index) const;

   private:
    Executable(const Peeker& peeker, Header header) : peeker_{&peeker}, header_{header} {}
    const Peeker* peeker_;
    Header header_;
};

}  // namespace kern::elf
