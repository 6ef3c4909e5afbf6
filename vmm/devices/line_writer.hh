// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <string_view>

namespace vmm {

/// Takes each line, without its end.
using LineSink = void (*)(void* context, std::string_view line);

/// Collects characters that a guest prints into lines. What could move the cursor or change
/// colours, and so imitate a line of the host's, becomes `?`.
class LineWriter {
   public:
    /// Longer lines are cut into pieces of this many characters.
    static constexpr std::size_t limit = 200;

    /// Gives each line to `sink`, with `context`.
    LineWriter(LineSink sink, void* context) : sink_{sink}, context_{context} {}

    /// The next character; a line feed ends the line.
    void put(char character) {
        if (character == '\r') return;
        if (character != '\n') {
            const bool printable = (character >= ' ' && character <= '~') || character == '\t';
            text_[length_++] = printable ? character : '?';
            if (length_ != limit) return;
        }
        emit();
    }
    /// Gives out a line that has no end yet.
    void flush() {
        if (length_ != 0) emit();
    }

   private:
    void emit() {
        sink_(context_, {text_.data(), length_});
        length_ = 0;
    }

    LineSink sink_;
    void* context_;
    std::size_t length_ = 0;
    std::array<char, limit> text_{};
};

}  // namespace vmm
