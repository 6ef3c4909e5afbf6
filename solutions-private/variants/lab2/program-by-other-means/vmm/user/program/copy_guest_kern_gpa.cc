// SPDX-License-Identifier: MIT
#include "kern/elf/format.hh"
#include "vmm/user/program/vmm.hh"

namespace user {
namespace {

using kern::elf::FileHeader64;
using kern::elf::ProgramHeader;

constexpr std::int64_t bad_format = error(Failure::bad_format);

bool wraps(std::uint64_t a, std::uint64_t b) {
    return a + b < a;
}

std::int64_t read_whole(std::int64_t file, std::uint64_t offset, void* to, std::uint64_t size) {
    if (wraps(offset, size)) return bad_format;
    auto answer = seek(file, offset);
    auto* const bytes = static_cast<std::byte*>(to);
    for (std::uint64_t have = 0; answer >= 0 && have < size;
         have += static_cast<std::uint64_t>(answer)) {
        answer = read(file, {bytes + have, size - have});
        if (answer == 0) return bad_format;
    }
    return answer < 0 ? answer : 0;
}

/// Calls `work` for each PT_LOAD segment, until one answers with an error.
template <class Work>
std::int64_t for_each_segment(std::int64_t file, const FileHeader64& header, Work work) {
    for (std::uint64_t i = 0; i < header.e_phnum; ++i) {
        const std::uint64_t step = i * header.e_phentsize;
        if (wraps(header.e_phoff, step)) return bad_format;
        ProgramHeader segment;
        auto answer = read_whole(file, header.e_phoff + step, &segment, sizeof segment);
        if (answer == 0 && segment.p_type == kern::elf::pt_load) answer = work(segment);
        if (answer < 0) return answer;
    }
    return 0;
}

std::int64_t check(const FileHeader64& header) {
    const auto& ident = header.e_ident;
    const bool good =
        ident.magic == kern::elf::elf_magic && ident.file_class == kern::elf::class_64 &&
        ident.data == kern::elf::little_endian && header.e_type == kern::elf::et_exec &&
        header.e_machine == kern::elf::em_x86_64 && header.e_phentsize >= sizeof(ProgramHeader) &&
        header.e_phnum != 0 && header.e_phnum <= max_guest_segments;
    return good ? 0 : bad_format;
}

std::int64_t check(const ProgramHeader& segment) {
    const bool good = segment.p_memsz >= segment.p_filesz &&
                      !wraps(segment.p_paddr, segment.p_memsz) &&
                      !wraps(segment.p_offset, segment.p_filesz);
    return good ? 0 : bad_format;
}

}  // namespace

std::int64_t copy_guest_kern_gpa(std::int64_t guest, std::string_view name) {
    const auto file = open(name);
    FileHeader64 header;
    auto answer = file < 0 ? file : read_whole(file, 0, &header, sizeof header);
    if (answer >= 0) answer = check(header);
    if (answer >= 0)
        answer = for_each_segment(file, header,
                                  [](const ProgramHeader& segment) { return check(segment); });
    if (answer >= 0)
        answer = for_each_segment(file, header, [&](const ProgramHeader& segment) {
            std::uint64_t perm = right_read;
            if ((segment.p_flags & kern::elf::pf_w) != 0) perm |= right_write;
            if ((segment.p_flags & kern::elf::pf_x) != 0) perm |= right_execute;
            return map_in_guest(guest, segment.p_paddr, segment.p_memsz, file, segment.p_filesz,
                                segment.p_offset, perm);
        });
    return answer < 0 ? answer : 0;
}

}  // namespace user
