// SPDX-License-Identifier: MIT
#include "kern/arch/explore/lines.hh"

#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <sstream>

namespace kern::explore {
namespace {

// The other process: it reads a count and so many addresses, and answers with a length and a text.
int ask = -1;
int answer = -1;

/// Whether all of it went through.
bool put(int to, const void* data, std::size_t size) {
    return write(to, data, size) == static_cast<ssize_t>(size);
}

bool get(int from, void* data, std::size_t size) {
    auto* at = static_cast<char*>(data);
    while (size != 0) {
        const ssize_t got = read(from, at, size);
        if (got <= 0) return false;
        at += got;
        size -= static_cast<std::size_t>(got);
    }
    return true;
}

std::string output_of(const std::string& command) {
    std::string output;
    FILE* const pipe = popen(command.c_str(), "r");  // NOLINT(cert-env33-c): a command of our own
    if (!pipe) return output;
    std::array<char, 4096> buffer;
    while (const std::size_t got = std::fread(buffer.data(), 1, buffer.size(), pipe))
        output.append(buffer.data(), got);
    pclose(pipe);
    return output;
}

std::string text_of(const std::vector<std::uintptr_t>& addresses) {
    std::ostringstream command;
    command << "addr2line -a -f -C -i -e /proc/" << getpid() << "/exe" << std::hex;
    // A call's line is that of the instruction before the return address.
    for (const std::uintptr_t address : addresses) command << " 0x" << address - 1;
    command << " 2>/dev/null";
    return output_of(command.str());
}

/// Answers until nobody can ask any more.
[[noreturn]] void serve(int from, int to) {
    for (std::size_t count = 0; get(from, &count, sizeof count);) {
        std::vector<std::uintptr_t> addresses(count);
        if (!get(from, addresses.data(), count * sizeof addresses[0])) break;
        const std::string text = text_of(addresses);
        const std::size_t size = text.size();
        if (!put(to, &size, sizeof size) || !put(to, text.data(), size)) break;
    }
    _exit(0);
}

/// `path/to/file.cc:12 (discriminator 3)`
void set_place(Line& line, const std::string& place) {
    const std::size_t colon = place.rfind(':');
    if (colon == std::string::npos || place.starts_with("??")) return;
    line.line = static_cast<unsigned>(std::atoi(place.c_str() + colon + 1));
    if (line.line != 0) line.file = place.substr(0, colon);
}

}  // namespace

void prepare_lines() {
    std::array<int, 2> asks{};
    std::array<int, 2> answers{};
    if (ask >= 0 || pipe(asks.data()) != 0 || pipe(answers.data()) != 0) return;
    const pid_t child = fork();
    if (child == 0) {
        // Nothing else that is open here is its affair.
        dup2(asks[0], 0);
        dup2(answers[1], 1);
        for (int file = 3; file < 256; ++file) close(file);
        serve(0, 1);
    }
    close(asks[0]);
    close(answers[1]);
    if (child < 0) return;
    ask = asks[1];
    answer = answers[0];
}

std::map<std::uintptr_t, std::vector<Line>> lines_of(const std::vector<std::uintptr_t>& addresses) {
    std::map<std::uintptr_t, std::vector<Line>> lines;
    const std::size_t count = addresses.size();
    std::size_t size = 0;
    if (ask < 0 || !put(ask, &count, sizeof count) ||
        !put(ask, addresses.data(), count * sizeof addresses[0]) ||
        !get(answer, &size, sizeof size))
        return lines;
    std::string text(size, ' ');
    if (!get(answer, text.data(), size)) return lines;

    std::istringstream output{text};
    std::vector<Line>* current = nullptr;
    for (std::string name; std::getline(output, name);) {
        if (name.starts_with("0x")) {
            current = &lines[std::strtoull(name.c_str(), nullptr, 16) + 1];
            continue;
        }
        std::string place;
        if (!std::getline(output, place) || !current) break;
        Line line{.function = name};
        set_place(line, place);
        current->push_back(std::move(line));
    }
    return lines;
}

}  // namespace kern::explore
