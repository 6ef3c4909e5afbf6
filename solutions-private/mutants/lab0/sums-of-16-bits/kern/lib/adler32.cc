// SPDX-License-Identifier: MIT
#include "kern/lib/adler32.hh"

namespace kern {

std::uint32_t adler32(std::span<const std::byte> bytes) {
    std::uint16_t a = 1, b = 0;
    for (const std::byte byte : bytes) {
        a = static_cast<std::uint16_t>(a + std::to_integer<unsigned>(byte));
        b = static_cast<std::uint16_t>(b + a);
    }
    return static_cast<std::uint32_t>(b) << 16 | a;
}

}  // namespace kern
