// SPDX-License-Identifier: MIT
#include "kern/arch/explore/story.hh"

#include <algorithm>
#include <sstream>

#include "kern/arch/explore/lines.hh"
#include "kern/lib/address.hh"

namespace kern::explore {
namespace {

constexpr std::size_t page_bytes = 4096;
/// A story with more rows is told without its middle.
constexpr std::size_t most_rows = 26;

using Lines = std::map<std::uintptr_t, std::vector<Line>>;

Lines all_lines(const Course& course) {
    std::vector<std::uintptr_t> addresses;
    for (const Event& event : course.events)
        addresses.insert(addresses.end(), event.calls.begin(), event.calls.end());
    std::ranges::sort(addresses);
    const auto [first, last] = std::ranges::unique(addresses);
    addresses.erase(first, last);
    return lines_of(addresses);
}

/// Where an event happened: the line of the task's file, and the function that it called there.
struct Place {
    unsigned line = 0;       // 0: not below the task's function
    std::string function;    // of the given code, if it happened there
    bool is_direct = false;  // nothing but a lock's own code lies between
    bool in_test = false;    // in what a test brought along
};

Place place_of(const Event& event, const Lines& lines, const std::string& task_file) {
    Place place;
    place.is_direct = true;
    for (const std::uintptr_t call : event.calls) {
        const auto found = lines.find(call);
        if (found == lines.end()) continue;
        for (const Line& one : found->second) {
            if (one.file.ends_with("/" + task_file) || one.file == task_file) {
                place.line = one.line;
                return place;
            }
            // The library's and the lock's own functions say nothing.
            if (one.file.empty() || one.file.starts_with("/usr") ||
                one.file.find("kern/sync/") != std::string::npos)
                continue;
            place.is_direct = false;
            place.in_test = place.in_test || one.file.find("labs/") != std::string::npos ||
                            one.file.find("tests/") != std::string::npos;
            if (place.function.empty()) place.function = one.function;
        }
    }
    return place;
}

/// Without arguments and the namespaces of the tree.
std::string short_name(std::string function) {
    function = function.substr(0, function.find('('));
    for (const char* space : {"kern::arch::", "kern::", "vmm::"})
        while (function.find(space) != std::string::npos)
            function.erase(function.find(space), std::string{space}.size());
    return function.substr(function.rfind(' ') + 1);
}

std::string in_words(const Event& event, const std::string& what) {
    switch (event.kind) {
        case Event::Kind::Read: return "reads " + what;
        case Event::Kind::Write: return "writes " + what;
        case Event::Kind::Load: return "reads " + what + ": " + in_hex(event.before);
        case Event::Kind::Store: return "stores " + in_hex(event.after) + " in " + what;
        case Event::Kind::Change:
            if (event.before == event.after)
                return "finds " + in_hex(event.before) + " in " + what + " and leaves it";
            return "changes " + what + " from " + in_hex(event.before) + " to " +
                   in_hex(event.after);
        case Event::Kind::Lock: return "takes the lock " + what;
        case Event::Kind::Unlock: return "gives back the lock " + what;
        case Event::Kind::Wait: return "waits for the lock " + what;
        case Event::Kind::Step: break;
    }
    return event.text;
}

std::string described(const Event& event, const Told& told) {
    std::string name =
        told.describe ? told.describe(reinterpret_cast<const void*>(event.at)) : std::string{};
    if (name.empty()) name = in_hex(event.at);
    const bool is_plain = event.kind == Event::Kind::Read || event.kind == Event::Kind::Write;
    if (is_plain && event.bytes >= page_bytes) return "all of " + name;
    if (is_plain) return std::to_string(event.bytes) + " bytes of " + name;
    return name;
}

/// Breaks text into lines of so many letters, at spaces.
std::vector<std::string> wrapped(const std::string& text, std::size_t width) {
    std::vector<std::string> lines{""};
    std::istringstream words{text};
    for (std::string word; words >> word;) {
        if (!lines.back().empty() && lines.back().size() + 1 + word.size() > width)
            lines.emplace_back("  ");
        if (!lines.back().empty() && lines.back() != "  ") lines.back() += ' ';
        lines.back() += word;
    }
    return lines;
}

/// The rows of the table, under its head.
class Table {
   public:
    explicit Table(std::size_t cpus) : cpus_{cpus}, width_{cpus == 2 ? 46U : 94U / cpus} {}

    void add(unsigned cpu, const std::string& text) {
        if (!rows_.empty() && last_ == std::pair{cpu, text}) return;  // the same again
        last_ = {cpu, text};
        for (const std::string& part : wrapped(text, width_)) add_row(cpu, part);
    }
    std::string text() const {
        std::ostringstream out;
        std::string head;
        for (std::size_t cpu = 1; cpu <= cpus_; ++cpu)
            head += cell(cpu, "CPU " + std::to_string(cpu));
        out << head << '\n';
        for (std::size_t i = 0; i < rows_.size(); ++i) {
            if (rows_.size() > most_rows && i == most_rows / 3) {
                const std::size_t left_out = rows_.size() - most_rows;
                out << "[... " << left_out << " rows ...]\n";
                i += left_out;
            }
            out << rows_[i] << '\n';
        }
        return out.str();
    }

   private:
    std::string cell(std::size_t cpu, const std::string& text) const {
        std::string padded = text;
        if (cpu == cpus_) return padded;
        padded.resize(std::max(width_, padded.size()), ' ');
        return padded + " | ";
    }
    void add_row(unsigned cpu, const std::string& text) {
        std::string row;
        for (std::size_t one = 1; one <= cpus_; ++one) row += cell(one, one == cpu ? text : "");
        rows_.push_back(row.substr(0, row.find_last_not_of(' ') + 1));
    }

    std::size_t cpus_, width_;
    std::vector<std::string> rows_;
    std::pair<unsigned, std::string> last_;
};

/// Whether others could notice it, or the task's own code did it with a lock.
bool is_told(const Event& event, const Place& place, const Memory& memory) {
    switch (event.kind) {
        case Event::Kind::Step: return true;
        case Event::Kind::Lock:
        case Event::Kind::Unlock: return place.line != 0 && place.is_direct;
        case Event::Kind::Wait: return true;
        default: break;
    }
    return place.line != 0 && !place.in_test &&
           (memory.shared_now(event.at, event.bytes) || event.bytes >= page_bytes);
}

}  // namespace

std::string in_hex(std::uint64_t value) {
    std::ostringstream text;
    text << "0x" << std::hex << value;
    return text.str();
}

std::string story(const Course& course, const Memory& memory, const Told& told) {
    const Lines lines = all_lines(course);
    Table table{told.cpus};
    for (const Event& event : course.events) {
        const Place place = place_of(event, lines, told.task_file);
        if (!is_told(event, place, memory)) continue;
        std::string text;
        if (place.line != 0) text = "line " + std::to_string(place.line) + ": ";
        if (!place.is_direct && place.line != 0 && event.kind != Event::Kind::Step)
            text += short_name(place.function) + " ";
        table.add(event.cpu, text + in_words(event, described(event, told)));
    }
    const std::string broken = course.broken.empty() ? "nothing was broken" : course.broken;
    if (course.by != 0) table.add(course.by, "=> " + broken);
    std::ostringstream out;
    out << broken << "\nso it goes, one CPU at a time (lines of " << told.task_file << "):\n"
        << table.text() << "schedule " << course.schedule.number() << " of " << told.tried
        << " tried; the same again: NEST_SCHEDULE=" << course.schedule.number()
        << " before the command in the log";
    return out.str();
}

}  // namespace kern::explore
