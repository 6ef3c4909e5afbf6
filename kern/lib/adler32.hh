// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace kern {

/// The Adler-32 checksum of `bytes` [rfc1950 8.2]: two sums, both modulo 65521 (the largest prime
/// below 65536). `a` begins with 1 and adds each byte in turn, as a number from 0 to 255. `b` begins
/// with 0 and adds, after each byte, the new `a`.
/// @param bytes what is summed up: as much as the memory holds, or none at all
/// @return b in bits 16 to 31, a in bits 0 to 15. Of no bytes: 1
/// @note It changes nothing, takes no lock and allocates nothing, so it may run on several CPUs at
///       once.
std::uint32_t adler32(std::span<const std::byte> bytes);

}  // namespace kern
