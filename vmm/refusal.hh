// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "kern/lib/print.hh"
#include "vmm/address.hh"

namespace vmm {

/// Why something that a plan or a program asks for cannot be had: from who finds it unchanged to
/// the report.
struct Refusal {
    Error error;         ///< for evidence
    const char* reason;  ///< in words, names the mend; a constant
    /// What the words speak of, where there are several: a tag, a program header.
    std::optional<std::uint32_t> number{};

    /// Words and number, written into `buffer` and cut at its end.
    std::string_view describe(std::span<char> buffer) const {
        return number ? kern::format_text(buffer, "{} {}", reason, *number)
                      : kern::format_text(buffer, "{}", reason);
    }
};

}  // namespace vmm
