// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace kern {

// The block in memory that a harness reads from outside. grader/evidence/checksums.py finds it by
// the symbol `checksum_evidence` and knows this layout. Only framework code writes it.

/// One boot module.
struct ModuleRecord {
    std::uint64_t length = 0;    ///< in bytes
    std::uint64_t checksum = 0;  ///< what adler32() said of it
};

/// The whole block.
struct ChecksumEvidence {
    /// Boot modules that are looked at, at most.
    static constexpr std::size_t max_records = 8;
    std::array<char, 16> magic{};                      ///< "NESTLING-CHECK1"
    std::uint64_t record_size = sizeof(ModuleRecord);  ///< in bytes
    std::uint64_t record_count = 0;                    ///< modules of which the checksum is known
    std::uint64_t finished = 0;                        ///< 1: it is known of all of them
    std::uint64_t cpus = 0;                            ///< that are up
    std::array<ModuleRecord, max_records> records{};   ///< in the boot loader's order
};
// grader/evidence/checksums.py reads this layout: change both.
static_assert(sizeof(ChecksumEvidence) == 16 + 4 * 8 + ChecksumEvidence::max_records * 16);

/// This boot's; the harness finds it by its symbol.
extern "C" ChecksumEvidence checksum_evidence;

}  // namespace kern
