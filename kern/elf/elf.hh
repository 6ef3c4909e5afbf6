// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <span>

#include "kern/elf/format.hh"
#include "kern/elf/peeker.hh"
#include "kern/lib/error.hh"

namespace kern::elf {

/// The most program headers that this kernel reads from one file; more are refused.
inline constexpr std::uint16_t max_program_headers = 64;

/// The fields of the ELF header that a loader needs.
struct Header {
    std::uint64_t entry = 0;                  ///< e_entry, a virtual address
    std::uint64_t program_header_offset = 0;  ///< of their table in the file
    std::uint16_t program_header_count = 0;   ///< 1 to max_program_headers
    std::uint16_t program_header_size = 0;    ///< bytes per entry in the file
    std::uint16_t machine = 0;                ///< e_machine
    bool is_64_bit = false;                   ///< ELF64, otherwise ELF32
};

/// An executable whose headers were read and checked by elf_decode. The program headers' values are
/// still those of the file: who loads a segment checks them.
class Executable {
   public:
    /// An executable without program headers yet; `file` must outlive it.
    Executable(const Peeker& file, const Header& header) : peeker_{&file}, header_{header} {}
    /// Adds the next program header. No more than max_program_headers: one more panics.
    void add(const ProgramHeader& program_header);

    /// What the file header says.
    const Header& header() const { return header_; }
    /// Where the file's bytes come from.
    const Peeker& peeker() const { return *peeker_; }
    /// All program headers, of every type, in the file's order.
    std::span<const ProgramHeader> program_headers() const { return {headers_.data(), count_}; }
    /// Program header number `index`. Error: OutOfRange.
    std::expected<ProgramHeader, Error> program_header(std::size_t index) const;

   private:
    const Peeker* peeker_;
    Header header_;
    std::size_t count_ = 0;
    std::array<ProgramHeader, max_program_headers> headers_{};
};

/// Reads the headers of an ELF executable (task lab1.elf_decode). It is the only ELF decoder of
/// this kernel: user programs and the kernels of guests both come through it.
///
/// The file is untrusted: any byte of it may be anything, and it may end anywhere. Its layout is in
/// kern/elf/format.hh. Nothing but the headers is read, and whatever is wrong ends in an error:
/// - it begins with elf_magic; what does not is BadFormat, even if it is shorter than a header. One
///   that is shorter than the magic may be Truncated as well;
/// - `file_class` is class_32 or class_64, otherwise BadFormat, and says how wide the rest is;
/// - `data` is little_endian; big_endian is Unsupported, anything else BadFormat;
/// - `version` and e_version are current_version, otherwise BadFormat;
/// - e_type is et_exec and e_machine is em_386 in ELF32, em_x86_64 in ELF64, otherwise Unsupported;
/// - e_phnum is 1 to max_program_headers: 0 is BadFormat, more are Unsupported;
/// - e_phentsize is at least the size of the class's program header, otherwise BadFormat; if it is
///   larger, what we do not know stands behind what we know, in each entry;
/// - the whole table, e_phnum entries of e_phentsize bytes from e_phoff on, lies in the file, and
///   so does each header, otherwise Truncated. The sums may wrap.
///
/// Of a file with several faults any one may be reported.
///
/// @param file  must outlive the result
/// @return the file header, and every program header in the file's order, whatever its p_type, in
///         the 64-bit form (the fields of an ELF32 header widened with zeros)
/// @note Errors: those above; an error of `file` is handed up as it is.
/// @note Locks: none is held, none is needed. No memory is allocated.
std::expected<Executable, Error> elf_decode(const Peeker& file);

}  // namespace kern::elf
