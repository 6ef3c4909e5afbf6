// SPDX-License-Identifier: MIT
// What is no system call; and the functions that the compiler may call by itself.
#include <array>
#include <exception>

#include "kern/user/digest.hh"
#include "kern/user/user.hh"

/// start.S keeps what the program was started with.
extern "C" struct {
    const char* text;
    std::size_t size;
} start_arguments;

extern "C" void* memcpy(void* to, const void* from, std::size_t bytes) {
    auto* out = static_cast<volatile char*>(to);  // volatile: or this becomes a call of itself
    const auto* in = static_cast<const char*>(from);
    for (std::size_t i = 0; i < bytes; ++i) out[i] = in[i];
    return to;
}
extern "C" void* memset(void* to, int value, std::size_t bytes) {
    auto* out = static_cast<volatile char*>(to);
    for (std::size_t i = 0; i < bytes; ++i) out[i] = static_cast<char>(value);
    return to;
}
extern "C" void* memmove(void* to, const void* from, std::size_t bytes) {
    if (user::address_of(to) - user::address_of(from) >= bytes) return memcpy(to, from, bytes);
    auto* out = static_cast<volatile char*>(to);  // it begins inside `from`: the last byte first
    const auto* in = static_cast<const char*>(from);
    for (std::size_t i = bytes; i > 0; --i) out[i - 1] = in[i - 1];
    return to;
}
extern "C" int memcmp(const void* a, const void* b, std::size_t bytes) {
    const auto* left = static_cast<const volatile unsigned char*>(a);
    const auto* right = static_cast<const volatile unsigned char*>(b);
    for (std::size_t i = 0; i < bytes; ++i)
        if (left[i] != right[i]) return left[i] < right[i] ? -1 : 1;
    return 0;
}

extern "C" const void* memchr(const void* in, int value, std::size_t bytes) {
    const auto* text = static_cast<const volatile unsigned char*>(in);
    for (std::size_t i = 0; i < bytes; ++i)
        if (text[i] == static_cast<unsigned char>(value))
            return static_cast<const unsigned char*>(in) + i;
    return nullptr;
}

extern "C" std::size_t strlen(const char* text) {
    std::size_t size = 0;
    while (static_cast<const volatile char*>(text)[size] != 0) ++size;
    return size;
}

// What headers of the standard library call for an index that is too large: from libstdc++ 13 on they
// have the first themselves, and it calls the second.
namespace std {
#if _GLIBCXX_RELEASE < 13
void __throw_out_of_range_fmt(const char* format, ...) {
    user::require(false, format);
    __builtin_trap();
}
#endif
void terminate() noexcept {
    user::require(false, "std::terminate was called: a library precondition is broken");
    __builtin_trap();
}
}  // namespace std

namespace user {

void print_hexadecimal(std::uint64_t number) {
    constexpr std::size_t digits = 16, bits_per_digit = 4;
    std::array<char, digits + 2> text;
    std::size_t begin = text.size();
    do {
        text[--begin] = "0123456789abcdef"[number & 0xf];
        number >>= bits_per_digit;
    } while (number != 0);
    text[--begin] = 'x';
    text[--begin] = '0';
    print({text.data() + begin, text.size() - begin});
}

std::string_view arguments() {
    return {start_arguments.text, start_arguments.size};
}

std::uint64_t argument(std::string_view key, std::uint64_t otherwise) {
    auto rest = arguments();
    while (!rest.empty()) {
        auto word = rest.substr(0, rest.find(' '));
        rest.remove_prefix(word.size() < rest.size() ? word.size() + 1 : word.size());
        if (!word.starts_with(key) || word.size() <= key.size() || word[key.size()] != '=')
            continue;
        word.remove_prefix(key.size() + 1);
        const std::uint64_t base = word.starts_with("0x") ? 16 : 10;
        if (base == 16) word.remove_prefix(2);
        std::uint64_t value = 0;
        for (const char c : word) {
            const std::uint64_t digit =
                static_cast<std::uint64_t>(c >= 'a' ? c - 'a' + 10 : c - '0');
            value = value * base + digit;
        }
        return value;
    }
    return otherwise;
}

void require(bool rule, std::string_view words) {
    if (rule) return;
    print("wrong: ");
    print(words);
    print("\n");
    exit(1);
}

void require_equal(std::int64_t seen, std::int64_t wanted, std::string_view words) {
    if (seen == wanted) return;
    print("wrong: ");
    print(words);
    print(": seen ");
    print_hexadecimal(static_cast<std::uint64_t>(seen));
    print(", wanted ");
    print_hexadecimal(static_cast<std::uint64_t>(wanted));
    print("\n");
    exit(1);
}

void finish(std::uint64_t result) {
    Digest digest{argument("key", 0)};
    digest.add(result);
    exit(digest.value());
}

}  // namespace user
