// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>
#include <type_traits>

namespace kern {

using Bytes = std::span<const std::byte>;

/// `size` bytes from `offset` on, or nothing if they do not all lie in `bytes`.
inline std::optional<Bytes> bytes_at(Bytes bytes, std::uint64_t offset, std::uint64_t size) {
    if (offset > bytes.size() || size > bytes.size() - offset) return std::nullopt;
    return bytes.subspan(offset, size);
}

/// The value of type T at `offset`, which need not be aligned, or nothing if it does not lie in
/// `bytes`.
template <class T>
    requires std::is_trivially_copyable_v<T>
std::optional<T> value_at(Bytes bytes, std::uint64_t offset) {
    const std::optional<Bytes> source = bytes_at(bytes, offset, sizeof(T));
    if (!source) return std::nullopt;
    T value;
    std::memcpy(&value, source->data(), sizeof(T));
    return value;
}

/// The characters from `offset` up to a zero byte, the end of `bytes`, or `limit`.
inline std::string_view text_at(Bytes bytes, std::uint64_t offset, std::size_t limit) {
    if (offset >= bytes.size()) return {};
    const Bytes rest = bytes.subspan(offset, std::min<std::uint64_t>(limit, bytes.size() - offset));
    const auto* characters = reinterpret_cast<const char*>(rest.data());
    std::size_t length = 0;
    while (length < rest.size() && characters[length] != '\0') ++length;
    return {characters, length};
}

}  // namespace kern
