// SPDX-License-Identifier: MIT
#include "kern/elf/elf.hh"

#include "kern/lib/panic.hh"

namespace kern::elf {

void Executable::add(const ProgramHeader& program_header) {
    if (count_ == headers_.size()) panic("more program headers than an Executable holds");
    headers_[count_++] = program_header;
}

std::expected<ProgramHeader, Error> Executable::program_header(std::size_t index) const {
    if (index >= count_) return std::unexpected{Error::OutOfRange};
    return headers_[index];
}

}  // namespace kern::elf
