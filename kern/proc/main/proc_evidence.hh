// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "kern/mm/frame_allocator.hh"

namespace kern {

// The block in memory that a harness reads from outside, with no word of a user program or of the
// code under test. grader/evidence/programs.py finds it by the symbol `proc_evidence` and knows this
// layout. Only framework code writes it.

/// What became of a program.
enum class ProgramEnd : std::uint64_t {
    None = 0,
    Refused = 1,  ///< no environment was made; `error` says why
    Running = 2,  ///< the machine ended before it did
    Exited = 3,   ///< by system call, with `status`
    Faulted = 4,  ///< by an exception of its own; see `vector`
    Killed = 5,   ///< the step's time limit
    Stuck = 6,    ///< it waited for a message, and nobody was left who could send one
};

/// One step of the plan. Where a step has several environments, what is said of one is said of the
/// first one (number 0, in the last repetition); the counts are of all.
struct ProgramRecord {
    std::array<char, 32> name{};        ///< padded with zeros
    ProgramEnd end = ProgramEnd::None;  ///< how the first one ended
    std::uint64_t status = 0;           ///< Exited: what it gave to the system call
    std::uint64_t error = 0;            ///< Refused: kern::Error + 1
    ///@{
    /// Faulted: the trap frame's numbers, and CR2 of a page fault.
    std::uint64_t vector = 0, error_code = 0, cr2 = 0, rip = 0, rsp = 0;
    ///@}
    std::uint64_t table_root = 0;    ///< Hpa of its top-level table; still there if `kept`
    std::uint64_t kept = 0;          ///< 1: it was not destroyed, its memory can be read
    std::uint64_t environments = 0;  ///< how many were asked for, over all repetitions
    ///@{
    /// How they ended, over all repetitions.
    std::uint64_t exited = 0, faulted = 0, killed = 0, stuck = 0, refused = 0;
    ///@}
    std::uint64_t status_sum = 0;    ///< of all that exited, modulo 2^64
    std::uint64_t system_calls = 0;  ///< of all of them
    std::uint64_t preemptions = 0;   ///< taken off a CPU by the timer
    std::uint64_t switches = 0;      ///< put onto a CPU
    FrameAccounts before{};          ///< frames in use before the first was made
    FrameAccounts started{};         ///< when all were ready to run (of the last repetition)
    FrameAccounts ended{};           ///< when the last one had ended
    FrameAccounts after{};           ///< when they were destroyed; equal to `ended` if kept
    std::uint64_t creation_nanoseconds = 0;  ///< until ready to run, added up
    std::uint64_t run_nanoseconds = 0;       ///< from then until the last had ended, added up
    std::array<char, 96> reason{};           ///< the end in words, padded with zeros
};
// grader/evidence/programs.py reads this layout: change both.
static_assert(sizeof(ProgramRecord) == 32 + 20 * 8 + 4 * 128 + 2 * 8 + 96);

/// The whole block.
struct ProcEvidence {
    /// Steps in one boot at most.
    static constexpr std::size_t max_records = 48;
    std::array<char, 16> magic{};                       ///< "NESTLING-PROC-1"
    std::uint64_t record_size = sizeof(ProgramRecord);  ///< in bytes
    std::uint64_t record_count = 0;                     ///< steps begun so far
    std::uint64_t finished = 0;                         ///< 1: the plan was carried out to its end
    std::uint64_t cpus = 0;                             ///< that are up
    std::array<ProgramRecord, max_records> records{};   ///< in the order of the plan
};
static_assert(sizeof(ProcEvidence) ==
              16 + 4 * 8 + ProcEvidence::max_records * sizeof(ProgramRecord));

/// This boot's; the harness finds it by its symbol.
extern "C" ProcEvidence proc_evidence;

}  // namespace kern
