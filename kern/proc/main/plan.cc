// SPDX-License-Identifier: MIT
#include "kern/proc/main/plan.hh"

namespace kern {

namespace {

using plan::Problem;
using plan::set_number;

Problem set_key(RunPlan& step, std::string_view key, std::string_view value) {
    if (key == "count")
        return set_number(step.count, value, 1, RunPlan::max_count, "wants a number from 1 to 64");
    if (key == "repeat")
        return set_number(step.repeat, value, 1, 100'000, "wants a number from 1 to 100000");
    if (key == "cpus") return set_number(step.cpus, value, 1, 16, "wants a number from 1 to 16");
    if (key == "keep") return set_number(step.keep, value, 0, 1, "wants 0 or 1");
    if (key == "limit") return set_number(step.limit_ms, value, 1, 600'000, "wants 1 to 600000 ms");
    if (key == "memory") {
        step.has_memory = true;
        return set_number(step.memory_frames, value, 0, 1ULL << 32, "wants a number of frames");
    }
    if (key == "root") return set_number(step.root, value, 0, 1, "wants 0 or 1");
    if (key == "probe") {
        step.probe = value;
        return value.empty() ? "wants a word" : nullptr;
    }
    if (key == "pending") return set_number(step.pending, value, 0, 1, "wants 0 or 1");
    return "is no key of a plan: see kern/proc/main/plan.hh";
}

plan::PlanError check(const RunPlan& step) {
    if (step.keep && step.repeat > 1) return {.key = "keep", .problem = "does not go with repeat"};
    return {};
}

}  // namespace

std::expected<std::size_t, plan::PlanError> parse_run_plan(std::string_view text,
                                                           std::span<RunPlan> steps) {
    return plan::parse<RunPlan>(text, steps,
                                {.first_word = "run",
                                 .other_first_word = "is not `run`, with which a line begins",
                                 .too_many = "is one step too many",
                                 .same_name = "is another step's already",
                                 .set_key = set_key,
                                 .check = check});
}

}  // namespace kern
