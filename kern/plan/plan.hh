// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <span>
#include <string_view>

#include "kern/fs/file_system.hh"
#include "kern/lib/number.hh"
#include "kern/lib/text.hh"

/// A plan says what one boot does: a text file named `plan` in the boot module. Here is what the
/// plans of all kernels share; each adds its own keys.
///
/// - A line is one thing to do; empty lines and those that begin with `#` are left out.
/// - Its first word says what kind of thing it is, then come KEY=VALUE pairs, divided by spaces.
/// - Every line has name=TEXT, 1 to 31 letters, digits, `-`, `_` and `.`, unique in the plan, and
///   file=TEXT, a file in the boot module, 1 to 47 of these characters.
/// - args=TEXT is the rest of the line, spaces included. It comes last.
/// - Numbers are decimal, or hexadecimal after 0x.
namespace kern::plan {

/// What is wrong and what is wanted, in words; nullptr: nothing is wrong.
using Problem = const char*;

/// What is wrong with a plan.
struct PlanError {
    unsigned line = 0;          ///< counted from 1
    std::string_view key{};     ///< the key, or the word that is none
    Problem problem = nullptr;  ///< what is wrong; nullptr: nothing
};

/// What distinguishes the lines of one kernel. `Entry` is what a line becomes; it has the members
/// name, file and args, texts that point into the plan's.
template <class Entry>
struct Grammar {
    std::string_view first_word;  ///< of each line
    Problem other_first_word;     ///< a line begins with another one
    Problem too_many;             ///< a line more than there are places
    Problem same_name;            ///< as an earlier line
    /// Takes the key's value, or says what is wrong with it or that there is no such key.
    Problem (*set_key)(Entry& entry, std::string_view key, std::string_view value);
    /// Whether all keys go together.
    PlanError (*check)(const Entry& entry);
};

/// Takes a number from `least` to `most`.
template <class Number>
Problem set_number(Number& out, std::string_view text, std::uint64_t least, std::uint64_t most,
                   Problem problem) {
    const auto value = parse_number(text);
    if (!value || *value < least || *value > most) return problem;
    out = static_cast<Number>(*value);
    return nullptr;
}
/// Takes a text of at most `most` letters, digits, `-`, `_` and `.`.
Problem set_text(std::string_view& out, std::string_view text, std::size_t most, Problem problem);

/// Takes the next line that says something off `text`, without spaces at its ends, and counts
/// `line` up to its number; empty: there is none.
std::string_view take_line(std::string_view& text, unsigned& line);

/// Reads one line into `entry`, whose keys have their defaults before.
template <class Entry>
PlanError parse_line(Entry& entry, std::string_view text, const Grammar<Entry>& grammar) {
    const auto first = take_until(text, ' ');
    if (first != grammar.first_word) return {.key = first, .problem = grammar.other_first_word};
    for (text = without_leading_spaces(text); !text.empty(); text = without_leading_spaces(text)) {
        if (text.starts_with("args=")) {
            entry.args = text.substr(text.find('=') + 1);
            break;
        }
        auto value = take_until(text, ' ');
        if (!value.contains('=')) return {.key = value, .problem = "is no KEY=VALUE"};
        const auto key = take_until(value, '=');
        Problem problem = nullptr;
        if (key == "name")
            problem =
                set_text(entry.name, value, 31, "wants 1 to 31 letters, digits, '-', '_' or '.'");
        else if (key == "file")
            problem =
                set_text(entry.file, value, 47, "wants 1 to 47 letters, digits, '-', '_' or '.'");
        else
            problem = grammar.set_key(entry, key, value);
        if (problem != nullptr) return {.key = key, .problem = problem};
    }
    if (entry.name.empty()) return {.key = "name", .problem = "is missing"};
    if (entry.file.empty()) return {.key = "file", .problem = "is missing"};
    return grammar.check(entry);
}

/// Reads the whole plan into `entries`.
/// @return how many there are
/// @note The first error ends the reading.
template <class Entry>
std::expected<std::size_t, PlanError> parse(std::string_view text, std::span<Entry> entries,
                                            const Grammar<Entry>& grammar) {
    std::size_t count = 0;
    unsigned line = 0;
    for (auto words = take_line(text, line); !words.empty(); words = take_line(text, line)) {
        Entry entry;
        const PlanError error = parse_line(entry, words, grammar);
        if (error.problem != nullptr)
            return std::unexpected(PlanError{line, error.key, error.problem});
        if (count == entries.size())
            return std::unexpected(PlanError{line, entry.name, grammar.too_many});
        const auto others = entries.first(count);
        if (std::ranges::find(others, entry.name, &Entry::name) != others.end())
            return std::unexpected(PlanError{line, "name", grammar.same_name});
        entries[count++] = entry;
    }
    return count;
}

/// The text of the plan in `files`, at most 32 KiB; it stays. Nothing if it cannot be read: then
/// the console says why.
std::optional<std::string_view> read_text(const FileSystem& files);
/// Says on the console what is wrong with the plan.
void report(const PlanError& error);

}  // namespace kern::plan
