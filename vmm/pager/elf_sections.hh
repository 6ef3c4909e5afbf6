// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <expected>

#include "kern/elf/peeker.hh"
#include "vmm/address.hh"

namespace vmm {

/// Where an ELF file has its section headers. No loader needs them, but a kernel may ask for its
/// own.
struct SectionTable {
    std::uint64_t offset = 0;      ///< of the first header in the file
    std::uint32_t count = 0;       ///< how many; 0: the file has none
    std::uint32_t entry_size = 0;  ///< bytes of one
    std::uint32_t names = 0;       ///< which section holds the names of sections
    /// Bytes of the whole table; less than 2^32.
    std::uint32_t bytes() const { return count * entry_size; }
};

/// Finds the section headers of an ELF file, ELF32 or ELF64, which elf_decode has accepted. A table
/// without entries, or with more than e_shnum can say, counts as none.
/// @note Errors: Truncated (the table leaves the file), BadFormat (its entries are shorter than a
///       section header), or the device's.
std::expected<SectionTable, Error> find_section_table(const kern::Peeker& file);

}  // namespace vmm
