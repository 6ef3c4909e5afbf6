// SPDX-License-Identifier: MIT
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace kern::explore {

/// CPU `cpu` stops before its event number `at`, counted from 1, and CPU `to` goes on.
struct Turn {
    unsigned cpu = 0;        ///< the one that stops
    unsigned at = 0;         ///< before this event
    unsigned to = 0;         ///< the one that goes on
    bool gives_way = false;  ///< it had to stop there anyway: it waits, or is done
};

/// Who runs when. A CPU that waits or ends gives way to the next one in a circle, unless a turn says
/// to whom.
struct Schedule {
    unsigned first = 1;         ///< the CPU that begins
    std::vector<Turn> turns{};  ///< in their order

    /// `1,1@34-2,2@57-1`: CPU 1 begins; before event 34 of CPU 1, CPU 2 goes on; before event 57 of
    /// CPU 2, CPU 1. A `+` in the place of `-`: it gave way.
    std::string number() const;
    /// The schedule with this number; nothing if it is none.
    static std::optional<Schedule> from_number(std::string_view number);
};

}  // namespace kern::explore
