// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <string_view>

namespace kern {

/// A list of at most `capacity` things, kept in place: nothing is allocated.
template <class T, std::size_t capacity>
class FixedList {
   public:
    /// Appends `item`. Returns whether it fitted.
    [[nodiscard]] constexpr bool push(const T& item) {
        if (size_ == capacity) return false;
        items_[size_++] = item;
        return true;
    }
    ///@{
    /// How many things are in the list.
    constexpr std::size_t size() const { return size_; }
    constexpr bool empty() const { return size_ == 0; }
    ///@}
    ///@{
    /// The things, in the order in which they were appended.
    constexpr const T& operator[](std::size_t index) const { return items_[index]; }
    constexpr T& operator[](std::size_t index) { return items_[index]; }
    constexpr const T* begin() const { return items_.data(); }
    constexpr T* begin() { return items_.data(); }
    constexpr const T* end() const { return items_.data() + size_; }
    constexpr T* end() { return items_.data() + size_; }
    ///@}

   private:
    std::array<T, capacity> items_{};
    std::size_t size_ = 0;
};

/// A text of at most `capacity` characters, kept in place and cut there.
template <std::size_t capacity>
class FixedText {
   public:
    /// Copies `text`. Returns whether all of it fitted.
    constexpr bool assign(std::string_view text) {
        size_ = text.copy(characters_.data(), capacity);
        return size_ == text.size();
    }
    /// The text, not ended by a zero byte.
    constexpr std::string_view view() const { return {characters_.data(), size_}; }

   private:
    std::array<char, capacity> characters_{};
    std::size_t size_ = 0;
};

/// Copies `text` into a field of a record that others read: cut so that one zero at least is left
/// behind it, and padded with zeros.
template <std::size_t size>
constexpr void copy_text(std::array<char, size>& field, std::string_view text) {
    field = {};
    text.copy(field.data(), size - 1);
}

}  // namespace kern
