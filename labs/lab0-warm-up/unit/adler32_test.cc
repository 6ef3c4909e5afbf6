// SPDX-License-Identifier: MIT
// Task lab0.adler32. What is wanted stands here as numbers that others have worked out, or comes
// from a formula for bytes that are nearly all alike: no second adler32 is in this file.
#include "kern/lib/adler32.hh"

#include <string_view>

#include "labs/unit_fixture.hh"

namespace lab {
namespace {

constexpr std::uint64_t modulus = 65521;

/// The bytes, in a block of their own: AddressSanitizer sees whoever reads behind it.
Bytes bytes_of(std::string_view text) {
    const auto bytes = std::as_bytes(std::span{text});
    return {bytes.begin(), bytes.end()};
}

::testing::AssertionResult has_checksum(const Bytes& bytes, std::uint64_t wanted) {
    const std::uint32_t seen = kern::adler32(bytes);
    if (seen == wanted) return ::testing::AssertionSuccess();
    return ::testing::AssertionFailure()
           << "of these " << bytes.size() << " bytes a is " << hex(seen & 0xffff) << " and b is "
           << hex(seen >> 16) << ", wanted is a = " << hex(wanted & 0xffff)
           << " and b = " << hex(wanted >> 16);
}

TEST(Adler32, OfOneByte) {
    EXPECT_TRUE(has_checksum(bytes_of("a"), 0x0062'0062));
}

TEST(Adler32, OfATextOfManyBytes) {
    EXPECT_TRUE(has_checksum(bytes_of("Wikipedia"), 0x11e6'0398));
    EXPECT_TRUE(has_checksum(bytes_of("message digest"), 0x2975'0586));
}

TEST(Adler32, OfNoBytes) {
    EXPECT_TRUE(has_checksum({}, 1));
}

TEST(Adler32, TakesBytesAsNumbersFrom0To255) {
    EXPECT_TRUE(has_checksum({std::byte{0x80}}, 0x0081'0081));
    EXPECT_TRUE(has_checksum({std::byte{0xff}, std::byte{0xff}}, 0x02ff'01ff));
}

TEST(Adler32, WeighsEachByteByItsPlace) {
    // Zeros, but for one byte: it is part of every `a` from its place on, to the last byte.
    for (int round = 0; round < 20; ++round) {
        const std::uint64_t count = random().between(3, 200);
        const std::uint64_t place = round == 0   ? 0
                                    : round == 1 ? count - 1
                                                 : random().between(0, count - 1);
        const std::uint64_t value = random().between(1, 255);
        Bytes bytes(count);
        bytes[place] = std::byte(value);
        const std::uint64_t a = 1 + value, b = count + (count - place) * value;
        ASSERT_TRUE(has_checksum(bytes, b << 16 | a))
            << "zeros, but for " << hex(value) << " at place " << place;
    }
}

TEST(Adler32, SumsModulo65521) {
    // 257 bytes of 255 are 65535, and with the 1 at the beginning `a` passes the modulus.
    const std::uint64_t count = 257;
    EXPECT_TRUE(has_checksum(Bytes(count, std::byte{0xff}), 0x080f'000f));
}

TEST(Adler32, OfMoreBytesThanTheSumsCouldHold) {
    for (const std::uint64_t count : {5553UL, 70'001UL, 1UL << 20}) {
        const std::uint64_t value = random().between(0xf0, 0xff);
        const std::uint64_t a = (1 + count * value) % modulus;
        const std::uint64_t b = (count + value * (count * (count + 1) / 2)) % modulus;
        ASSERT_TRUE(has_checksum(Bytes(count, std::byte(value)), b << 16 | a))
            << "all of them " << hex(value);
    }
}

}  // namespace
}  // namespace lab
