// SPDX-License-Identifier: MIT
//@ wrong_kernel_entry

#include "kern/elf/elf.hh"
namespace kern::elf {
std::expected<Executable, Error> elf_decode(const Peeker&) {
    return std::unexpected(Error::BadFormat);
}
}  // namespace kern::elf
