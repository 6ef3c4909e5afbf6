// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "vmm/address.hh"

/// What the guests of the benchmark do; grader/bench/guests.py makes them by the same numbers.
namespace vmm::bench {

/// marks.elf executes the hypercall `mark` so many times.
inline constexpr std::uint64_t guest_marks = 4000;
/// memory.elf and ports.elf (guest/probes/mmio.S) access a device so many times.
inline constexpr std::uint64_t guest_accesses = 4000;
/// cpuid.elf executes CPUID so many times.
inline constexpr std::uint64_t guest_cpuids = 4000;
/// string.elf sends 4 KiB by one REP OUTS so many times, to a port that discards; bytes.elf sends as
/// much by as many OUTs as there are bytes, once.
inline constexpr std::uint64_t guest_strings = 64;
/// touch.elf reads one word of so many pages, from this one on.
inline constexpr std::uint64_t touched_pages = 2048;
inline constexpr Gpa touched_begin{0x40'0000};

}  // namespace vmm::bench
