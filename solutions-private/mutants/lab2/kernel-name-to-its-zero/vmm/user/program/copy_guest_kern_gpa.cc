// SPDX-License-Identifier: MIT
#include <array>
#include <limits>
#include <span>

#include "kern/elf/format.hh"
#include "vmm/user/program/vmm.hh"

namespace user {
namespace {

namespace elf = kern::elf;

constexpr std::uint64_t greatest = std::numeric_limits<std::uint64_t>::max();
constexpr std::int64_t bad_format = error(Failure::bad_format);

/// Reads a whole structure at `offset`.
template <class T>
std::int64_t read_at(std::int64_t file, std::uint64_t offset, T& structure) {
    if (sizeof structure > greatest - offset) return bad_format;
    if (const auto answer = seek(file, offset); answer < 0) return answer;
    std::span<std::byte> rest = std::as_writable_bytes(std::span{&structure, 1});
    while (!rest.empty()) {
        const auto bytes = read(file, rest);
        if (bytes < 0) return bytes;
        if (bytes == 0) return bad_format;
        rest = rest.subspan(static_cast<std::size_t>(bytes));
    }
    return 0;
}

bool is_kernel(const elf::FileHeader64& header) {
    return header.e_ident.magic == elf::elf_magic && header.e_ident.file_class == elf::class_64 &&
           header.e_ident.data == elf::little_endian && header.e_type == elf::et_exec &&
           header.e_machine == elf::em_x86_64 && header.e_phnum >= 1 &&
           header.e_phnum <= max_guest_segments && header.e_phentsize >= sizeof(elf::ProgramHeader);
}

bool fits(const elf::ProgramHeader& segment) {
    return segment.p_filesz <= segment.p_memsz && segment.p_memsz <= greatest - segment.p_paddr &&
           segment.p_filesz <= greatest - segment.p_offset;
}

std::uint64_t rights_of(const elf::ProgramHeader& segment) {
    return right_read | ((segment.p_flags & elf::pf_w) != 0 ? right_write : 0) |
           ((segment.p_flags & elf::pf_x) != 0 ? right_execute : 0);
}

}  // namespace

std::int64_t copy_guest_kern_gpa(std::int64_t guest, std::string_view name) {
    const std::int64_t file = open(std::string_view{name.data()});
    if (file < 0) return file;
    elf::FileHeader64 header{};
    if (const auto answer = read_at(file, 0, header); answer < 0) return answer;
    if (!is_kernel(header)) return bad_format;

    std::array<elf::ProgramHeader, max_guest_segments> table{};
    const std::span segments = std::span{table}.first(header.e_phnum);
    for (std::uint64_t i = 0; auto& segment : segments) {
        const std::uint64_t step = header.e_phentsize * i++;
        if (step > greatest - header.e_phoff) return bad_format;
        const std::uint64_t offset = header.e_phoff + step;
        if (const auto answer = read_at(file, offset, segment); answer < 0) return answer;
        if (segment.p_type == elf::pt_load && !fits(segment)) return bad_format;
    }
    for (const auto& segment : segments) {
        if (segment.p_type != elf::pt_load) continue;
        if (const auto answer =
                map_in_guest(guest, segment.p_paddr, segment.p_memsz, file, segment.p_filesz,
                             segment.p_offset, rights_of(segment));
            answer < 0)
            return answer;
    }
    return 0;
}

}  // namespace user
