// SPDX-License-Identifier: MIT
#include <optional>

#include "kern/elf/elf.hh"

namespace kern::elf {
namespace {

/// Numbers at offsets of a file. After the first that cannot be read all others are 0.
class Reader {
   public:
    explicit Reader(const Peeker& file) : file_{file} {}

    template <class T>
    T get(std::uint64_t offset) {
        if (error_) return T{};
        const auto value = peek_value<T>(file_, offset);
        if (value) return *value;
        error_ = value.error();
        return T{};
    }
    std::uint64_t word(bool wide, std::uint64_t offset_32, std::uint64_t offset_64) {
        return wide ? get<std::uint64_t>(offset_64) : get<std::uint32_t>(offset_32);
    }
    std::optional<Error> error() const { return error_; }

   private:
    const Peeker& file_;
    std::optional<Error> error_;
};

ProgramHeader read_entry(Reader& read, bool wide, std::uint64_t at) {
    return {.p_type = read.get<std::uint32_t>(at),
            .p_flags = read.get<std::uint32_t>(at + (wide ? 4 : 24)),
            .p_offset = read.word(wide, at + 4, at + 8),
            .p_vaddr = read.word(wide, at + 8, at + 16),
            .p_paddr = read.word(wide, at + 12, at + 24),
            .p_filesz = read.word(wide, at + 16, at + 32),
            .p_memsz = read.word(wide, at + 20, at + 40),
            .p_align = read.word(wide, at + 28, at + 48)};
}

}  // namespace

std::expected<Executable, Error> elf_decode(const Peeker& file) {
    Reader read{file};
    if (read.get<std::uint32_t>(0) != 0x464c'457f)
        return std::unexpected(read.error().value_or(Error::BadFormat));
    const auto file_class = read.get<std::uint8_t>(4);
    const auto data = read.get<std::uint8_t>(5);
    const auto version = read.get<std::uint8_t>(6);
    if (read.error()) return std::unexpected(*read.error());
    if (data == 2) return std::unexpected(Error::Unsupported);
    if (data != 1 || version != 1 || file_class < 1 || file_class > 2)
        return std::unexpected(Error::BadFormat);

    const bool wide = file_class == 2;
    const auto type = read.get<std::uint16_t>(16);
    const auto machine = read.get<std::uint16_t>(18);
    const auto format_version = read.get<std::uint32_t>(20);
    const auto entry = read.word(wide, 24, 24);
    const auto table = read.word(wide, 28, 32);
    const auto step = read.get<std::uint16_t>(wide ? 54 : 42);
    const auto count = read.get<std::uint16_t>(wide ? 56 : 44);
    // The header's end, which nobody needs, must be there too.
    (void)read.get<std::uint16_t>(wide ? 62 : 50);
    if (read.error()) return std::unexpected(*read.error());
    if (format_version != 1) return std::unexpected(Error::BadFormat);
    if (type != 2 || machine != (wide ? 62 : 3) || count > max_program_headers)
        return std::unexpected(Error::Unsupported);
    if (count == 0 || step < (wide ? 56 : 32)) return std::unexpected(Error::BadFormat);
    if (file.size() < table || (file.size() - table) / step < count)
        return std::unexpected(Error::Truncated);

    Executable executable{file,
                          {.entry = entry,
                           .program_header_offset = table,
                           .program_header_count = count,
                           .program_header_size = step,
                           .machine = machine,
                           .is_64_bit = wide}};
    for (unsigned i = 0; i < count; ++i)
        executable.add(read_entry(read, wide, table + std::uint64_t{i} * step));
    if (read.error()) return std::unexpected(*read.error());
    return executable;
}

}  // namespace kern::elf
