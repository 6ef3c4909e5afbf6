// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <expected>
#include <span>

#include "kern/cap/main/cpus.hh"
#include "kern/lib/error.hh"

namespace kern::cap {

/// Makes the root task of an ELF64 executable, in the kernel's last memory of its own, and gives it
/// all that is left, as kern/cap/interface.hh says. It is Ready.
///
/// The image's segments lie one behind the other, in the 2 MiB from 0x400000 on.
/// @note Errors: those of elf_decode; Unsupported (another kind of executable, or a segment
/// elsewhere), Truncated (a segment is not in the file). Panics where there is not enough memory.
std::expected<void, Error> make_root_task(World& world, std::span<const std::byte> image);

}  // namespace kern::cap
