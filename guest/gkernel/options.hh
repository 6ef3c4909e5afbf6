// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <string_view>

#include "kern/lib/fixed.hh"

namespace guest {

// What the command line asks of gkernel, in words divided by spaces. Numbers are decimal, or
// hexadecimal after 0x; AREA is one of text, rodata, data, bss (parts of the image) and ram (all of
// memory); pages are counted from the area's first one, so that in `ram` page 16 is at 0x10000.
//
//   nonce=HEX        the key of all digests
//   cpus=N           so many vCPUs must come up
//   touch=AREA[:FIRST[:COUNT[:STEP]]][:w],...
//                    reads these pages; :w also writes each and reads it back (data, bss, ram)
//   race=AREA:PAGE   all vCPUs touch this page at once
//   each=AREA:FIRST[:STEP]  vCPU n touches page FIRST + n * STEP, all at once
//   timer=N          each vCPU sleeps N times until its timer interrupts
//   console=N        N letters go to the console in memory, each with an interrupt by the IO-APIC

/// A part of the guest's memory.
enum class Area : std::uint8_t { Text, Rodata, Data, Bss, Ram };

/// Pages of an area: `first`, `first + step`, and so on, `count` of them (those beyond the area's
/// end are left out).
struct Pages {
    static constexpr std::uint64_t all = ~0ULL;
    Area area = Area::Text;
    std::uint64_t first = 0;
    std::uint64_t count = all;
    std::uint64_t step = 1;
    bool write = false;
};

struct Options {
    static constexpr std::size_t max_touches = 16;
    std::uint64_t key = 0;
    std::uint64_t cpus = 0;  ///< 0: any number
    kern::FixedList<Pages, max_touches> touches{};
    std::uint64_t timer = 0;
    std::uint64_t console = 0;
    std::optional<Pages> race{};
    std::optional<Pages> each{};
};

/// Reads the command line. On an error gives back the word that is not understood.
std::expected<Options, std::string_view> parse_options(std::string_view command_line);

}  // namespace guest
