// SPDX-License-Identifier: MIT
#include "kern/proc/main/plan.hh"

#include <algorithm>

namespace kern {

namespace {

/// A key's value was accepted (nullptr), or what is wrong with it.
using Problem = const char*;

template <class Number>
Problem set_number(Number& out, std::string_view text, std::uint64_t least, std::uint64_t most,
                   Problem problem) {
    constexpr std::size_t most_digits = 12;  // far below 2^64
    if (text.empty() || text.size() > most_digits) return problem;
    std::uint64_t value = 0;
    for (const char c : text) {
        if (c < '0' || c > '9') return problem;
        value = value * 10 + static_cast<std::uint64_t>(c - '0');
    }
    if (value < least || value > most) return problem;
    out = static_cast<Number>(value);
    return nullptr;
}

bool is_name_character(char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
           c == '_' || c == '.';
}

Problem set_text(std::string_view& out, std::string_view text, std::size_t most, Problem problem) {
    if (text.empty() || text.size() > most || !std::ranges::all_of(text, is_name_character))
        return problem;
    out = text;
    return nullptr;
}

Problem set_key(RunPlan& step, std::string_view key, std::string_view value) {
    if (key == "name")
        return set_text(step.name, value, 31, "wants 1 to 31 letters, digits, '-', '_' or '.'");
    if (key == "file")
        return set_text(step.file, value, 47, "wants 1 to 47 letters, digits, '-', '_' or '.'");
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
    return "is no key of a plan: see kern/proc/main/plan.hh";
}

/// Takes the text up to `divider` off `text`; all of it where there is none.
std::string_view take_until(std::string_view& text, char divider) {
    const auto end = std::min(text.find(divider), text.size());
    const auto head = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    return head;
}

std::string_view without_leading_spaces(std::string_view text) {
    text.remove_prefix(std::min(text.find_first_not_of(" \t\r"), text.size()));
    return text;
}

std::expected<RunPlan, RunPlanError> parse_line(std::string_view text, unsigned line) {
    const auto fail = [&](std::string_view key, Problem problem) {
        return std::unexpected(RunPlanError{.line = line, .key = key, .problem = problem});
    };
    const auto first = take_until(text, ' ');
    if (first != "run") return fail(first, "is not `run`, with which a line begins");
    RunPlan step;
    for (text = without_leading_spaces(text); !text.empty(); text = without_leading_spaces(text)) {
        if (text.starts_with("args=")) {
            step.args = text.substr(5);
            break;
        }
        auto word = take_until(text, ' ');
        if (!word.contains('=')) return fail(word, "is no KEY=VALUE");
        const auto key = take_until(word, '=');
        if (const auto problem = set_key(step, key, word)) return fail(key, problem);
    }
    if (step.name.empty()) return fail("name", "is missing");
    if (step.file.empty()) return fail("file", "is missing");
    if (step.keep && step.repeat > 1) return fail("keep", "does not go with repeat");
    return step;
}

}  // namespace

std::expected<std::size_t, RunPlanError> parse_run_plan(std::string_view text,
                                                        std::span<RunPlan> steps) {
    std::size_t count = 0;
    for (unsigned line = 1; !text.empty(); ++line) {
        auto words = without_leading_spaces(take_until(text, '\n'));
        while (words.ends_with(' ') || words.ends_with('\r')) words.remove_suffix(1);
        if (words.empty() || words.starts_with('#')) continue;
        auto step = parse_line(words, line);
        if (!step) return std::unexpected(step.error());
        if (count == steps.size())
            return std::unexpected(RunPlanError{line, step->name, "is one step too many"});
        const auto others = steps.first(count);
        if (std::ranges::find(others, step->name, &RunPlan::name) != others.end())
            return std::unexpected(RunPlanError{line, "name", "is another step's already"});
        steps[count++] = *step;
    }
    return count;
}

}  // namespace kern
