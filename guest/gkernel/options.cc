// SPDX-License-Identifier: MIT
#include "guest/gkernel/options.hh"

#include <initializer_list>
#include <optional>

#include "kern/lib/number.hh"
#include "kern/lib/text.hh"

namespace guest {

namespace {

using kern::take_until;

std::optional<Area> parse_area(std::string_view text) {
    if (text == "text") return Area::Text;
    if (text == "rodata") return Area::Rodata;
    if (text == "data") return Area::Data;
    if (text == "bss") return Area::Bss;
    if (text == "ram") return Area::Ram;
    return std::nullopt;
}

/// AREA, then a number for each of `fields`, of which the last ones may be missing, then `w`, all
/// divided by colons.
std::optional<Pages> parse_pages(std::string_view text,
                                 std::initializer_list<std::uint64_t Pages::*> fields) {
    const auto area = parse_area(take_until(text, ':'));
    if (!area) return std::nullopt;
    Pages pages{.area = *area};
    for (const auto field : fields) {
        if (text.empty() || text == "w") break;
        const auto value = kern::parse_number(take_until(text, ':'), 10);
        if (!value) return std::nullopt;
        pages.*field = *value;
    }
    pages.write = text == "w";
    const bool writable = *area != Area::Text && *area != Area::Rodata;
    if ((!text.empty() && !pages.write) || (pages.write && !writable) || pages.step == 0)
        return std::nullopt;
    return pages;
}

bool parse_touches(Options& options, std::string_view list) {
    if (list.empty()) return false;
    while (!list.empty()) {
        const auto pages =
            parse_pages(take_until(list, ','), {&Pages::first, &Pages::count, &Pages::step});
        // All of memory has no end that would end the touching.
        if (!pages || (pages->area == Area::Ram && pages->count == Pages::all) ||
            !options.touches.push(*pages))
            return false;
    }
    return true;
}

bool set_number(std::uint64_t& number, std::string_view text, unsigned base) {
    const auto value = kern::parse_number(text.substr(0, 16), base);
    if (value) number = *value;
    return value.has_value();
}

bool parse_word(Options& options, std::string_view word) {
    const auto key = take_until(word, '=');
    if (key == "nonce") return set_number(options.key, word, 16);
    if (key == "cpus") return set_number(options.cpus, word, 10);
    if (key == "timer") return set_number(options.timer, word, 10);
    if (key == "console") return set_number(options.console, word, 10);
    if (key == "touch") return parse_touches(options, word);
    if (key == "race" || key == "each") {
        const auto pages = parse_pages(word, {&Pages::first, &Pages::step});
        if (!pages || pages->write) return false;
        (key == "race" ? options.race : options.each) = *pages;
        return true;
    }
    return false;
}

}  // namespace

std::expected<Options, std::string_view> parse_options(std::string_view command_line) {
    Options options;
    while (!command_line.empty()) {
        const auto word = take_until(command_line, ' ');
        if (!word.empty() && !parse_word(options, word)) return std::unexpected(word);
    }
    return options;
}

}  // namespace guest
