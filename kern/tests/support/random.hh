// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <vector>

/// Contents and addresses for tests, new in each run and the same for the same seed.
namespace kern::test {

using Bytes = std::vector<std::byte>;

/// The run's seed, from NEST_SEED; 1 without it.
inline std::uint64_t seed() {
    const char* text = std::getenv("NEST_SEED");
    return text ? std::strtoull(text, nullptr, 0) : 1;
}

/// A sequence of numbers that is the same for the same seed (splitmix64).
class Random {
   public:
    explicit Random(std::uint64_t start = seed()) : state_{start} {}
    std::uint64_t next() {
        state_ += 0x9e37'79b9'7f4a'7c15;
        std::uint64_t z = state_;
        z = (z ^ z >> 30) * 0xbf58'476d'1ce4'e5b9;
        z = (z ^ z >> 27) * 0x94d0'49bb'1331'11eb;
        return z ^ z >> 31;
    }
    /// One of `low`, ..., `high`.
    std::uint64_t between(std::uint64_t low, std::uint64_t high) {
        return low + next() % (high - low + 1);
    }
    /// A page-aligned address of pages `low` to `high`.
    std::uint64_t page_between(std::uint64_t low, std::uint64_t high) {
        return between(low, high) * 4096;
    }
    Bytes bytes(std::size_t count) {
        Bytes made(count);
        for (auto& byte : made) byte = std::byte(next() | 1);  // no zeros: a missing byte shows
        return made;
    }

   private:
    std::uint64_t state_;
};

}  // namespace kern::test
