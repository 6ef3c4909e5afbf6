// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace guest {

// The block that the harness reads out of the guest's memory, through the nested tables, at the
// symbol `guest_results`. grader/evidence/guest_results.py knows this layout.

/// What was found in the pages of one area (a part of `touch=`).
struct AreaResult {
    std::uint64_t address = 0;      ///< guest-physical address of the first word touched
    std::uint64_t pages = 0;        ///< pages touched
    std::uint64_t digest = 0;       ///< of all words as they were found, in order
    std::uint64_t not_zero = 0;     ///< words found that were not 0
    std::uint64_t wrong_words = 0;  ///< words that did not read back as they were written
};

/// What one vCPU saw.
struct CpuResult {
    std::uint64_t up = 0;                ///< 1: it ran the kernel's code
    std::uint64_t race_digest = 0;       ///< of the page that all touched at once (`race=`)
    std::uint64_t each_digest = 0;       ///< of the page that only this one touched (`each=`)
    std::uint64_t timer_interrupts = 0;  ///< of its APIC's timer that it has taken (`timer=`)
};

/// Bits of GuestResults::problems.
namespace problem {
inline constexpr std::uint64_t no_memory = 1;      ///< the memory map names no RAM
inline constexpr std::uint64_t overlapping = 2;    ///< two ranges of RAM share a byte
inline constexpr std::uint64_t ram_in_hole = 4;    ///< RAM in the hole for devices
inline constexpr std::uint64_t image_outside = 8;  ///< this kernel does not lie in RAM
inline constexpr std::uint64_t missing_cpus = 16;  ///< not as many CPUs are up as `cpus=` says
inline constexpr std::uint64_t wrong_words = 32;   ///< memory did not keep what was written
inline constexpr std::uint64_t not_zero = 64;      ///< bss or RAM was not zero at the start
inline constexpr std::uint64_t bad_option = 128;   ///< the command line is not understood
}  // namespace problem

struct GuestResults {
    static constexpr std::size_t max_areas = 16;
    static constexpr std::size_t max_cpus = 8;

    std::array<char, 16> magic{};  ///< "NESTLING-GKERN1"
    std::uint64_t key = 0;         ///< of the digests: the nonce
    std::uint64_t cpus = 0;        ///< that are up
    std::uint64_t memory_kib = 0;  ///< RAM according to the memory map
    std::uint64_t problems = 0;    ///< bits: see above
    std::uint64_t finished = 0;    ///< 1: everything asked for was done
    std::uint64_t area_count = 0;
    std::uint64_t x2apic = 0;             ///< 1: the vCPUs have an x2APIC, 0: an xAPIC alone
    std::uint64_t device_interrupts = 0;  ///< of the console in memory that were taken (`console=`)
    std::array<AreaResult, max_areas> areas{};
    std::array<CpuResult, max_cpus> cpu{};
};
static_assert(sizeof(GuestResults) == 16 + 8 * 8 + 16 * 40 + 8 * 32);

}  // namespace guest
