// SPDX-License-Identifier: MIT
// Hint: the contract stands above the declaration in kern/lib/adler32.hh, an example with numbers in
// labs/lab0-warm-up/handout.md.
#include "kern/lib/adler32.hh"

#include "kern/lib/todo.hh"

namespace kern {

std::uint32_t adler32([[maybe_unused]] std::span<const std::byte> bytes) {
    kern::todo("lab0.adler32");
}

}  // namespace kern
