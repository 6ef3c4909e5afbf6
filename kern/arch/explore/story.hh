// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "kern/arch/explore/machine.hh"

namespace kern::explore {

/// What a story is told about.
struct Told {
    std::size_t cpus;                                         ///< how many
    const std::string& task_file;                             ///< see Exploration
    const std::function<std::string(const void*)>& describe;  ///< see Exploration
    std::size_t tried;                                        ///< schedules
};

/// What was broken, the schedule's number, and in a column for each CPU what it did where others
/// could notice.
std::string story(const Course& course, const Memory& memory, const Told& told);

/// 0x...
std::string in_hex(std::uint64_t value);

}  // namespace kern::explore
