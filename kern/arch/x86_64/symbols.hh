// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string_view>

namespace kern::arch {

/// A function of this kernel, and how far into it an address lies.
struct Symbol {
    std::string_view name;
    std::uint64_t offset = 0;
};

/// The function that holds `address`; an empty name if it is not in the kernel's text, or the image
/// was not given its symbols after linking.
Symbol find_symbol(std::uint64_t address);

}  // namespace kern::arch
