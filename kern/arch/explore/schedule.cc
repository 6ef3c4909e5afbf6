// SPDX-License-Identifier: MIT
#include "kern/arch/explore/schedule.hh"

#include <charconv>

namespace kern::explore {
namespace {

/// Takes a number from the front of the text.
std::optional<unsigned> take_number(std::string_view& text) {
    unsigned value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{}) return std::nullopt;
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    return value;
}

bool take(std::string_view& text, char letter) {
    if (!text.starts_with(letter)) return false;
    text.remove_prefix(1);
    return true;
}

}  // namespace

std::string Schedule::number() const {
    std::string text = std::to_string(first);
    for (const Turn& turn : turns) {
        text.append(",").append(std::to_string(turn.cpu)).append("@");
        text.append(std::to_string(turn.at)).append(turn.gives_way ? "+" : "-");
        text.append(std::to_string(turn.to));
    }
    return text;
}

std::optional<Schedule> Schedule::from_number(std::string_view number) {
    const auto first = take_number(number);
    if (!first) return std::nullopt;
    Schedule schedule{.first = *first};
    while (take(number, ',')) {
        const auto cpu = take_number(number);
        if (!cpu || !take(number, '@')) return std::nullopt;
        const auto at = take_number(number);
        const bool gives_way = at && take(number, '+');
        if (!at || !(gives_way || take(number, '-'))) return std::nullopt;
        const auto to = take_number(number);
        if (!to) return std::nullopt;
        schedule.turns.push_back({.cpu = *cpu, .at = *at, .to = *to, .gives_way = gives_way});
    }
    if (!number.empty()) return std::nullopt;
    return schedule;
}

}  // namespace kern::explore
