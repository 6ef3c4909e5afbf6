// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstdint>

#include "kern/cap/main/cpus.hh"

namespace kern::cap {

// The block in memory that a harness reads from outside. grader/evidence/micro.py finds it by the
// symbol `micro_evidence` and knows this layout. Only framework code writes it.

/// Why the machine ended.
enum class MicroEnd : std::uint64_t {
    None,           ///< it has not, or by itself
    RootTaskEnded,  ///< the root task is Inactive
    NobodyCanRun,   ///< all threads wait, and no interrupt can wake one
    TimeIsOver,
};

/// The one run.
struct MicroRecord {
    MicroEnd end = MicroEnd::None;                ///< why
    std::uint64_t cpus = 0;                       ///< that are up
    std::array<std::uint64_t, 8> system_calls{};  ///< by SystemCall
    std::uint64_t preempted = 0;                  ///< system calls that are to be made again
    std::uint64_t slices = 0;                     ///< time slices that were over
    std::uint64_t faults = 0;                     ///< of programs
    std::uint64_t interrupts = 0;                 ///< of devices
    std::uint64_t fast_calls = 0;                 ///< Kernel::fast_calls
    std::uint64_t fast_replies = 0;               ///< Kernel::fast_replies
    std::uint64_t bytes = 0;                      ///< of the Untypeds that the root task was given
    std::uint64_t frames_left = 0;                ///< that the kernel has for itself afterwards
    ///@{
    /// At the end: Untypeds of the root task from which something is derived; the dead; threads in
    /// queues of Ready ones.
    std::uint64_t untyped_in_use = 0, dead = 0, ready = 0;
    ///@}
    std::array<std::uint64_t, 64> report{};  ///< what the root task has written into its report
};

/// The whole block.
struct MicroEvidence {
    /// Runs at most.
    static constexpr std::size_t max_records = 1;
    std::array<char, 16> magic{};                     ///< "NESTLING-MICRO1"
    std::uint64_t record_size = sizeof(MicroRecord);  ///< in bytes
    std::uint64_t record_count = 0;                   ///< 1, as soon as the root task runs
    std::uint64_t finished = 0;                       ///< 1: the record is complete
    std::uint64_t reserved = 0;                       ///< always 0
    std::array<MicroRecord, max_records> records{};   ///< the run
};
// grader/evidence/micro.py reads this layout: change both.
static_assert(sizeof(MicroRecord) == (2 + 8 + 11 + 64) * 8 &&
              sizeof(MicroEvidence) == 16 + 4 * 8 + sizeof(MicroRecord));

/// This boot's; the harness finds it by its symbol.
extern "C" MicroEvidence micro_evidence;

/// Completes the evidence, says what has happened, and ends the machine: with status 0 if the root
/// task ended.
[[noreturn]] void end_machine(World& world, MicroEnd end);

}  // namespace kern::cap
