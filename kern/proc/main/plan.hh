// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <span>
#include <string_view>

#include "kern/plan/plan.hh"

namespace kern {

// The plan of user programs. What all plans share: kern/plan/plan.hh.
//
//   run name=hello file=hello.elf count=1 cpus=4 keep=1 limit=5000 args=some words
//
// One line is one step; they run one after the other, in this order.
//
//   name=TEXT   the step's
//   file=TEXT   the program
//   count=N     so many environments of this program run at once, 1 to 64; default 1
//   repeat=N    the whole step is done so many times, 1 to 100000; default 1. The evidence adds up.
//   cpus=N      on CPUs 0 to N - 1, 1 to 16; default: all that are up, which is also the most
//   keep=0|1    1: the environments are not destroyed, so that their memory can be read; default 0
//   limit=MS    what still runs after so many milliseconds is killed; 1 to 600000; default 10000
//   memory=N    once the environments are made, N frames are left to them and no more
//   root=0|1    1: started as the root program of the exercise is: an error ends the machine with
//               the panic "ELF error"; default 0, the error stands in the evidence
//   probe=WORD  what a test asks of the guests that the program makes, in a kernel that has guests:
//               see vmm/user/guest_probe.hh
//   pending=0|1 1: each time that a program is entered, an interrupt is already pending; default 0
//   args=TEXT   the command line

/// One step of the plan. Texts point into the plan's text.
struct RunPlan {
    /// Environments of one step at most.
    static constexpr unsigned max_count = 64;

    std::string_view name{};
    std::string_view file{};
    unsigned count = 1;
    unsigned repeat = 1;
    unsigned cpus = 0;  ///< 0: all
    bool keep = false;
    unsigned limit_ms = 10000;
    bool has_memory = false;
    std::uint64_t memory_frames = 0;
    bool root = false;
    std::string_view probe{};
    bool pending = false;
    std::string_view args{};
};

/// Reads the whole plan into `steps`.
/// @return how many there are
/// @note The first error ends the reading. More lines than `steps` has places is an error.
std::expected<std::size_t, plan::PlanError> parse_run_plan(std::string_view text,
                                                           std::span<RunPlan> steps);

}  // namespace kern
