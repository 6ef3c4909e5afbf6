// SPDX-License-Identifier: MIT
#include "kern/lib/adler32.hh"

namespace kern {

std::uint32_t adler32([[maybe_unused]] std::span<const std::byte> bytes) {
    return 1;
}

}  // namespace kern
