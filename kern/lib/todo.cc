// SPDX-License-Identifier: MIT
#include "kern/lib/todo.hh"

#include <array>
#include <span>
#include <string_view>

#include "kern/lib/panic.hh"
#include "kern/lib/print.hh"

#if __STDC_HOSTED__
#include <unistd.h>
#endif

namespace kern {
namespace {

/// `path` from the repository's root on. The compiler may have been given an absolute path.
std::string_view from_root(std::string_view path) {
    for (const std::string_view room : {"kern/", "vmm/", "guest/"}) {
        const std::size_t at = path.rfind(room);
        if (at == 0 || (at != std::string_view::npos && path[at - 1] == '/'))
            return path.substr(at);
    }
    return path;
}

std::string_view stub_line(std::span<char> buffer, const char* task, const char* file,
                           unsigned line, const char* note = "") {
    return format_text(buffer, "TODO {}: {}:{} is not written yet{}", task, from_root(file), line,
                       note);
}

}  // namespace

void todo(const char* task, std::source_location where) {
    std::array<char, 256> buffer;
    const std::string_view text = stub_line(buffer, task, where.file_name(), where.line());
#if __STDC_HOSTED__
    // One write, so that two threads that get here do not mix; no destructors, no sanitizer
    // reports.
    std::array<char, 260> line;
    const std::string_view whole = format_text(line, "{}\n", text);
    [[maybe_unused]] const auto written = ::write(STDERR_FILENO, whole.data(), whole.size());
    ::_exit(121);
#else
    panic(text, where);
#endif
}

}  // namespace kern

#if !__STDC_HOSTED__
void todo_from_assembly(const char* task, const char* file, unsigned line, const char* note) {
    std::array<char, 256> buffer;
    kern::panic(kern::stub_line(buffer, task, file, line, note));
}
#endif
