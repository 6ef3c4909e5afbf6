// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace kern::explore {

/// A place in a source file.
struct Line {
    std::string function{};  ///< its name, with arguments
    std::string file{};      ///< empty: not known
    unsigned line = 0;       ///< counted from 1; 0: not known
};

/// Makes the process that asks addr2line, before anything of an answer runs: later this process may
/// start no program (labs/unit_confine.hh). Once is enough.
void prepare_lines();

/// For each return address of this program the lines that it stands for: the innermost inlined
/// function first. Asks addr2line; without it every line is unknown.
std::map<std::uintptr_t, std::vector<Line>> lines_of(const std::vector<std::uintptr_t>& addresses);

}  // namespace kern::explore
