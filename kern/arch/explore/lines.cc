// SPDX-License-Identifier: MIT
#include "kern/arch/explore/lines.hh"

#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <sstream>

namespace kern::explore {
namespace {

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

/// `path/to/file.cc:12 (discriminator 3)`
void set_place(Line& line, const std::string& place) {
    const std::size_t colon = place.rfind(':');
    if (colon == std::string::npos || place.starts_with("??")) return;
    line.line = static_cast<unsigned>(std::atoi(place.c_str() + colon + 1));
    if (line.line != 0) line.file = place.substr(0, colon);
}

}  // namespace

std::map<std::uintptr_t, std::vector<Line>> lines_of(const std::vector<std::uintptr_t>& addresses) {
    std::map<std::uintptr_t, std::vector<Line>> lines;
    std::ostringstream command;
    command << "addr2line -a -f -C -i -e /proc/" << getpid() << "/exe" << std::hex;
    // A call's line is that of the instruction before the return address.
    for (const std::uintptr_t address : addresses) command << " 0x" << address - 1;
    command << " 2>/dev/null";

    std::istringstream output{output_of(command.str())};
    std::vector<Line>* current = nullptr;
    for (std::string text; std::getline(output, text);) {
        if (text.starts_with("0x")) {
            current = &lines[std::strtoull(text.c_str(), nullptr, 16) + 1];
            continue;
        }
        std::string place;
        if (!std::getline(output, place) || !current) break;
        Line line{.function = text};
        set_place(line, place);
        current->push_back(std::move(line));
    }
    return lines;
}

}  // namespace kern::explore
