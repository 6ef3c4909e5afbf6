// SPDX-License-Identifier: MIT
#include "kern/lib/adler32.hh"

namespace kern {

std::uint32_t adler32(std::span<const std::byte> bytes) {
    constexpr std::uint32_t modulus = 65521;
    constexpr std::size_t most = 5552;
    std::uint32_t a = 1, b = 0;
    while (!bytes.empty()) {
        const std::size_t count = bytes.size() < most ? bytes.size() : most;
        for (const std::byte byte : bytes.first(count)) {
            a += std::to_integer<std::uint32_t>(byte);
            b += a;
        }
        a %= modulus;
        b %= modulus;
        bytes = bytes.subspan(count);
    }
    return b << 16 | a;
}

}  // namespace kern
