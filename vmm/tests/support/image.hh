// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "kern/elf/elf.hh"
#include "kern/tests/support/random.hh"

/// Kernel images of any layout, built in memory, with contents and addresses that depend on the
/// run.
namespace vmm::test {

using kern::test::Bytes;
using kern::test::Random;
using kern::test::seed;

/// What an image is to say. Field names and meanings are ELF's.
struct ImageLayout {
    bool is_64_bit = true;
    std::uint64_t entry = 0;
    std::vector<kern::elf::ProgramHeader> program_headers{};
    std::uint64_t size = 64 * 1024;  ///< bytes of the file
    bool multiboot2 = true;          ///< with a multiboot2 header
    Bytes multiboot2_tags{};         ///< in that header, before the end tag
};

/// A PT_LOAD header.
inline kern::elf::ProgramHeader load(std::uint64_t offset, std::uint64_t vaddr, std::uint64_t paddr,
                                     std::uint64_t filesz, std::uint64_t memsz) {
    return {.p_type = kern::elf::pt_load,
            .p_flags = kern::elf::pf_r | kern::elf::pf_w | kern::elf::pf_x,
            .p_offset = offset,
            .p_vaddr = vaddr,
            .p_paddr = paddr,
            .p_filesz = filesz,
            .p_memsz = memsz,
            .p_align = 4096};
}

/// Overwrites bytes of a file under construction.
class Patch {
   public:
    Patch(Bytes& file, std::size_t at) : file_{file}, at_{at} {}
    template <class T>
    Patch& put(T value) {
        std::memcpy(file_.data() + at_, &value, sizeof value);
        at_ += sizeof value;
        return *this;
    }
    std::size_t at() const { return at_; }

   private:
    Bytes& file_;
    std::size_t at_;
};

/// The file: the ELF header and program headers, the multiboot2 header, and the run's bytes
/// elsewhere. Segments lie where their p_offset says; those that begin below 0x2000 may contain
/// headers.
inline Bytes make_image(const ImageLayout& layout, Random& random) {
    Bytes file = random.bytes(layout.size);
    const bool wide = layout.is_64_bit;
    const std::uint16_t header_size = wide ? 64 : 52;
    const std::uint16_t entry_size = wide ? 56 : 32;
    const auto count = static_cast<std::uint16_t>(layout.program_headers.size());

    Patch elf{file, 0};
    elf.put<std::uint32_t>(0x464c'457f).put<std::uint8_t>(wide ? 2 : 1);  // magic, class
    elf.put<std::uint8_t>(1).put<std::uint8_t>(1).put<std::uint64_t>(0).put<std::uint8_t>(0);
    elf.put<std::uint16_t>(2).put<std::uint16_t>(wide ? 62 : 3);  // ET_EXEC; x86-64 or x86
    elf.put<std::uint32_t>(1);                                    // version
    const auto word = [wide](Patch& at, std::uint64_t value) {
        wide ? at.put(value) : at.put(static_cast<std::uint32_t>(value));
    };
    word(elf, layout.entry);
    word(elf, header_size);  // the program headers follow at once
    word(elf, 0);
    elf.put<std::uint32_t>(0).put(header_size).put(entry_size).put(count);
    elf.put<std::uint16_t>(0).put<std::uint16_t>(0).put<std::uint16_t>(0);  // no sections

    Patch phdrs{file, header_size};
    for (const auto& p : layout.program_headers) {
        phdrs.put(p.p_type);
        if (wide) phdrs.put(p.p_flags);
        word(phdrs, p.p_offset);
        word(phdrs, p.p_vaddr);
        word(phdrs, p.p_paddr);
        word(phdrs, p.p_filesz);
        word(phdrs, p.p_memsz);
        if (!wide) phdrs.put(p.p_flags);
        word(phdrs, p.p_align);
    }
    if (layout.multiboot2) {
        constexpr std::uint32_t magic = 0xe852'50d6;
        const auto length = static_cast<std::uint32_t>(16 + layout.multiboot2_tags.size() + 8);
        Patch header{file, (phdrs.at() + 7) / 8 * 8};
        header.put(magic).put<std::uint32_t>(0).put(length).put(0U - magic - length);
        for (const std::byte byte : layout.multiboot2_tags) header.put(byte);
        header.put<std::uint16_t>(0).put<std::uint16_t>(0).put<std::uint32_t>(8);
    }
    return file;
}

}  // namespace vmm::test
