// SPDX-License-Identifier: MIT
#include "kern/plan/plan.hh"

#include <array>

#include "kern/lib/print.hh"

namespace kern::plan {
namespace {

constexpr std::size_t limit = std::size_t{32} * 1024;
std::array<char, limit> plan_text;

bool is_name_character(char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
           c == '_' || c == '.';
}

}  // namespace

Problem set_text(std::string_view& out, std::string_view text, std::size_t most, Problem problem) {
    if (text.empty() || text.size() > most || !std::ranges::all_of(text, is_name_character))
        return problem;
    out = text;
    return nullptr;
}

std::string_view take_line(std::string_view& text, unsigned& line) {
    while (!text.empty()) {
        ++line;
        auto words = without_leading_spaces(take_until(text, '\n'));
        while (words.ends_with(' ') || words.ends_with('\r')) words.remove_suffix(1);
        if (!words.empty() && !words.starts_with('#')) return words;
    }
    return {};
}

std::optional<std::string_view> read_text(const FileSystem& files) {
    const auto file = files.open("plan");
    if (!file || file->size() > limit) {
        kprint("plan: cannot be read: {}\n", file ? "longer than 32 KiB" : describe(file.error()));
        return std::nullopt;
    }
    const auto length = file->read(0, std::as_writable_bytes(std::span{plan_text}));
    if (!length) {
        kprint("plan: cannot be read: {}\n", length.error());
        return std::nullopt;
    }
    return std::string_view{plan_text.data(), *length};
}

void report(const PlanError& error) {
    kprint("plan: line {}: {} {}\n", error.line, error.key, error.problem);
}

}  // namespace kern::plan
