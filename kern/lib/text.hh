// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <string_view>

namespace kern {

/// Takes the text up to `divider` off `text`, and the divider with it; all of it where there is
/// none.
constexpr std::string_view take_until(std::string_view& text, char divider) {
    const auto end = std::min(text.find(divider), text.size());
    const auto head = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    return head;
}

/// `text` without the spaces and tabs at its beginning.
constexpr std::string_view without_leading_spaces(std::string_view text) {
    text.remove_prefix(std::min(text.find_first_not_of(" \t\r"), text.size()));
    return text;
}

}  // namespace kern
