// SPDX-License-Identifier: MIT
// The functions of the C library that the compiler itself calls. Eight bytes at a time, not REP
// MOVSB: an emulator goes round once for every element of a REP.
#include <cstddef>
#include <cstdint>

namespace {

/// Eight bytes of anything, anywhere. A struct, as attributes of a plain alias get lost in
/// templates.
struct [[gnu::packed, gnu::may_alias]] Word {
    std::uint64_t value;
};
constexpr std::size_t word_size = sizeof(Word);
constexpr std::uint64_t every_byte = 0x0101'0101'0101'0101;

void copy_forward(std::byte* to, const std::byte* from, std::size_t count) {
    for (; count >= 4 * word_size; count -= 4 * word_size) {
        const auto* in = reinterpret_cast<const Word*>(from);
        auto* out = reinterpret_cast<Word*>(to);
        const Word a = in[0], b = in[1], c = in[2], d = in[3];
        out[0] = a;
        out[1] = b;
        out[2] = c;
        out[3] = d;
        to += 4 * word_size;
        from += 4 * word_size;
    }
    for (; count >= word_size; count -= word_size) {
        *reinterpret_cast<Word*>(to) = *reinterpret_cast<const Word*>(from);
        to += word_size;
        from += word_size;
    }
    for (; count > 0; --count) *to++ = *from++;
}

void copy_backward(std::byte* to, const std::byte* from, std::size_t count) {
    while (count >= word_size) {
        count -= word_size;
        *reinterpret_cast<Word*>(to + count) = *reinterpret_cast<const Word*>(from + count);
    }
    while (count > 0) {
        --count;
        to[count] = from[count];
    }
}

}  // namespace

extern "C" {

void* memcpy(void* to, const void* from, std::size_t count) {
    copy_forward(static_cast<std::byte*>(to), static_cast<const std::byte*>(from), count);
    return to;
}

void* memmove(void* to, const void* from, std::size_t count) {
    auto* out = static_cast<std::byte*>(to);
    const auto* in = static_cast<const std::byte*>(from);
    // Modulo 2^64 this is also true where `to` lies below `from`: then forward is right.
    if (reinterpret_cast<std::uintptr_t>(out) - reinterpret_cast<std::uintptr_t>(in) >= count) {
        copy_forward(out, in, count);
    } else {
        copy_backward(out, in, count);
    }
    return to;
}

void* memset(void* to, int value, std::size_t count) {
    auto* out = static_cast<unsigned char*>(to);
    const auto byte = static_cast<unsigned char>(value);
    const Word word{every_byte * byte};
    for (; count >= 4 * word_size; count -= 4 * word_size) {
        auto* words = reinterpret_cast<Word*>(out);
        words[0] = word;
        words[1] = word;
        words[2] = word;
        words[3] = word;
        out += 4 * word_size;
    }
    for (; count > 0; --count) *out++ = byte;
    return to;
}

int memcmp(const void* left, const void* right, std::size_t count) {
    const auto* a = static_cast<const unsigned char*>(left);
    const auto* b = static_cast<const unsigned char*>(right);
    for (; count >= word_size; count -= word_size) {
        if (reinterpret_cast<const Word*>(a)->value != reinterpret_cast<const Word*>(b)->value)
            break;
        a += word_size;
        b += word_size;
    }
    for (; count > 0; --count, ++a, ++b) {
        if (*a != *b) return *a < *b ? -1 : 1;
    }
    return 0;
}

void* memchr(const void* bytes, int value, std::size_t count) {
    const auto* at = static_cast<const unsigned char*>(bytes);
    const auto wanted = static_cast<unsigned char>(value);
    // A byte of x is zero where the one of `word` is the wanted one; subtracting 1 from each
    // borrows into the top bit of the first such byte.
    for (; count >= word_size; count -= word_size) {
        const std::uint64_t x = reinterpret_cast<const Word*>(at)->value ^ (every_byte * wanted);
        if (((x - every_byte) & ~x & (every_byte << 7)) != 0) break;
        at += word_size;
    }
    for (; count > 0; --count, ++at) {
        if (*at == wanted) return const_cast<unsigned char*>(at);
    }
    return nullptr;
}

std::size_t strlen(const char* text) {
    std::size_t length = 0;
    while (text[length] != '\0') ++length;
    return length;
}

}  // extern "C"
