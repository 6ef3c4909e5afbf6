// SPDX-License-Identifier: MIT
#pragma once

#include <source_location>
#include <string_view>

namespace kern {

/// Ends the machine (or, in a host test, the process) after printing `message`, where it was called
/// and, in the kernel, the registers and a symbolised backtrace. For broken invariants of this
/// kernel only: bad input is an Error, and a guest never gets here.
[[noreturn]] void panic(std::string_view message,
                        std::source_location where = std::source_location::current());

/// Checks an invariant in every build.
constexpr void check(bool invariant, std::string_view message,
                     std::source_location where = std::source_location::current()) {
    if (!invariant) [[unlikely]]
        panic(message, where);
}

}  // namespace kern
