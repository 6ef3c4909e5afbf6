// SPDX-License-Identifier: MIT
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string_view>

#include "kern/lib/address.hh"
#include "kern/lib/error.hh"

namespace kern {

/// One argument of kprint, by value: the types below and no others, so that a wrong argument does
/// not compile. There is no floating point in the kernel.
class PrintArgument {
   public:
    /// How it is printed.
    enum class Kind : std::uint8_t { Unsigned, Signed, Text, Character, Boolean, Pointer };

    ///@{
    /// From a value of each type that can be printed.
    template <std::unsigned_integral T>
        requires(!std::same_as<T, bool> && !std::same_as<T, char>)
    constexpr PrintArgument(T value) : kind{Kind::Unsigned}, number{value} {}
    template <std::signed_integral T>
        requires(!std::same_as<T, char>)
    constexpr PrintArgument(T value)
        : kind{Kind::Signed}, number{static_cast<std::uint64_t>(std::int64_t{value})} {}
    constexpr PrintArgument(char value)
        : kind{Kind::Character}, number{static_cast<unsigned char>(value)} {}
    constexpr PrintArgument(bool value) : kind{Kind::Boolean}, number{value} {}
    constexpr PrintArgument(std::string_view value) : kind{Kind::Text}, text{value} {}
    constexpr PrintArgument(const char* value)
        : kind{Kind::Text}, text{value != nullptr ? value : "(null)"} {}
    constexpr PrintArgument(Error value) : kind{Kind::Text}, text{describe(value)} {}
    PrintArgument(const void* value)
        : kind{Kind::Pointer}, number{reinterpret_cast<std::uintptr_t>(value)} {}
    template <class Space>
    constexpr PrintArgument(Address<Space> value) : kind{Kind::Pointer}, number{value.value()} {}
    ///@}

    Kind kind;                 ///< says which of the next two counts
    std::uint64_t number = 0;  ///< of every kind but Text
    std::string_view text;     ///< of Text
};

/// Takes the characters of a formatted text, in order, in one or more pieces.
using PrintSink = void (*)(void* context, std::string_view piece);

/// Writes `format` to `sink`. `{}` takes the next argument (numbers decimal, addresses and pointers
/// as 0x and hexadecimal digits), `{:x}` hexadecimal without prefix, `{:016x}` zero-padded to a
/// width, `{:10}` padded with spaces (text to the left, numbers to the right), `{{` and `}}`
/// braces. A missing argument prints `{?}`; superfluous ones are left out.
void format_to(PrintSink sink, void* context, std::string_view format,
               std::span<const PrintArgument> arguments);

/// Writes into `buffer`, cut at its end. Returns the text written.
std::string_view format_into(std::span<char> buffer, std::string_view format,
                             std::span<const PrintArgument> arguments);

/// Prints `format` on the console as one piece: lines of several CPUs do not mix.
void kprint_arguments(std::string_view format, std::span<const PrintArgument> arguments);

/// From now on kprint waits for no lock. panic() calls this: the holder may be a CPU that never
/// goes on.
void print_without_lock();

template <class... Arguments>
/// Prints `format` with the arguments, as format_to says: `kprint("page {} of {}\n", gpa, name)`.
void kprint(std::string_view format, const Arguments&... arguments) {
    const std::initializer_list<PrintArgument> list{PrintArgument{arguments}...};
    kprint_arguments(format, {list.begin(), list.size()});
}

/// format_into for arguments of any printable types.
template <class... Arguments>
std::string_view format_text(std::span<char> buffer, std::string_view format,
                             const Arguments&... arguments) {
    const std::initializer_list<PrintArgument> list{PrintArgument{arguments}...};
    return format_into(buffer, format, {list.begin(), list.size()});
}

}  // namespace kern
