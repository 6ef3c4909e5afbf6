// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

extern "C" {
void* kernel_memcpy(void* to, const void* from, std::size_t count);
void* kernel_memmove(void* to, const void* from, std::size_t count);
void* kernel_memset(void* to, int value, std::size_t count);
int kernel_memcmp(const void* left, const void* right, std::size_t count);
void* kernel_memchr(const void* bytes, int value, std::size_t count);
std::size_t kernel_strlen(const char* text);
}

namespace {

using Bytes = std::vector<unsigned char>;

Bytes random_bytes(std::mt19937& random, std::size_t count) {
    Bytes bytes(count);
    for (unsigned char& byte : bytes) byte = static_cast<unsigned char>(random());
    return bytes;
}

// Each size up to a few unrolled rounds, at each alignment; AddressSanitizer guards the ends.

TEST(Memory, CopyAndSet) {
    std::mt19937 random{2};
    for (std::size_t count = 0; count <= 100; ++count) {
        for (std::size_t skip = 0; skip < 8; ++skip) {
            const Bytes from = random_bytes(random, skip + count);
            Bytes to(skip + count, 0xee);
            EXPECT_EQ(kernel_memcpy(to.data() + skip, from.data() + skip, count), to.data() + skip);
            EXPECT_TRUE(std::equal(to.begin() + static_cast<int>(skip), to.end(),
                                   from.begin() + static_cast<int>(skip)));
            EXPECT_TRUE(std::all_of(to.begin(), to.begin() + static_cast<int>(skip),
                                    [](unsigned char byte) { return byte == 0xee; }));
            EXPECT_EQ(kernel_memset(to.data() + skip, 0x1a5, count), to.data() + skip);
            EXPECT_EQ(std::count(to.begin(), to.end(), 0xa5), static_cast<std::ptrdiff_t>(count));
        }
    }
}

TEST(Memory, MoveOverlaps) {
    std::mt19937 random{3};
    constexpr std::size_t total = 160;
    for (std::size_t count = 0; count <= 90; ++count) {
        for (std::size_t from = 0; from <= 40; from += 3) {
            for (std::size_t to = 0; to <= 40; ++to) {
                Bytes bytes = random_bytes(random, total);
                Bytes wanted = bytes;
                std::memmove(wanted.data() + to, wanted.data() + from, count);
                kernel_memmove(bytes.data() + to, bytes.data() + from, count);
                ASSERT_EQ(bytes, wanted) << count << " bytes from " << from << " to " << to;
            }
        }
    }
}

TEST(Memory, Compare) {
    std::mt19937 random{4};
    for (std::size_t count = 1; count <= 40; ++count) {
        const Bytes left = random_bytes(random, count);
        EXPECT_EQ(kernel_memcmp(left.data(), left.data(), count), 0);
        for (std::size_t at = 0; at < count; ++at) {
            Bytes right = left;
            right[at] ^= 0x80;
            const bool less = left[at] < right[at];
            EXPECT_EQ(kernel_memcmp(left.data(), right.data(), count), less ? -1 : 1);
            EXPECT_EQ(kernel_memcmp(left.data(), right.data(), at), 0);
        }
    }
}

TEST(Memory, Find) {
    for (std::size_t count = 0; count <= 40; ++count) {
        Bytes bytes(count, 0x7f);
        EXPECT_EQ(kernel_memchr(bytes.data(), 0x80, count), nullptr);
        for (std::size_t at = 0; at < count; ++at) {
            bytes.assign(count, 0x81);
            bytes[at] = 0x80;
            bytes[count - 1] = 0x80;
            EXPECT_EQ(kernel_memchr(bytes.data(), 0x80, count), &bytes[at]);
        }
    }
    // A borrow of the zero-byte trick must not find the byte above a match too early.
    const Bytes tricky{0x01, 0x00, 0x01, 0x00, 0x01, 0x00, 0x01, 0x00};
    EXPECT_EQ(kernel_memchr(tricky.data(), 0, tricky.size()), &tricky[1]);
}

TEST(Memory, Length) {
    EXPECT_EQ(kernel_strlen(""), 0U);
    EXPECT_EQ(kernel_strlen("seven c"), 7U);
}

}  // namespace
