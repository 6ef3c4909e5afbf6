// SPDX-License-Identifier: MIT
#include "kern/lib/adler32.hh"

namespace kern {

std::uint32_t adler32(std::span<const std::byte> bytes) {
    constexpr std::uint32_t modulus = 65521;
    std::uint32_t a = 1, b = 0;
    for (std::size_t i = 0; i + 1 < bytes.size(); ++i) {
        const std::byte byte = bytes[i];
        a = (a + std::to_integer<std::uint32_t>(byte)) % modulus;
        b = (b + a) % modulus;
    }
    return b << 16 | a;
}

}  // namespace kern
