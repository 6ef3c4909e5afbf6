// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <expected>
#include <string_view>

#include "vmm/address.hh"

namespace vmm {

/// What a step of the plan asks of the guests that its program makes, behind the program's back:
/// the word after `probe=` (kern/proc/main/plan.hh).
///
///   move:N   each time the guest has exited N times, it moves on to the next CPU; some entries
///            find a kick waiting (SwitchProbe::kicks_at_entries). N is 1 to 2^32 - 1
///   spoil:N  the CPU is made to refuse entry number N (SwitchProbe::spoiled_entry), likewise
struct GuestProbe {
    std::uint32_t move = 0;   ///< 0: it runs wherever a CPU is free
    std::uint32_t spoil = 0;  ///< 0: none
};

/// Reads that word; an empty one asks for nothing. Error: InvalidArgument, it is none of the above.
std::expected<GuestProbe, Error> parse_guest_probe(std::string_view word);

}  // namespace vmm
