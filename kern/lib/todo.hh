// SPDX-License-Identifier: MIT
#pragma once

#include <source_location>

namespace kern {

/// What a task's stub does: names the task, the file and the line, and ends this run. In the booted
/// kernel that is a panic; in a host test it ends the process of this one case.
/// @param task the task's id in lab.json, for example "lab5.load_page"
[[noreturn]] void todo(const char* task,
                       std::source_location where = std::source_location::current());

}  // namespace kern

/// What todo() of kern/lib/todo_assembly.h calls: the same, for a stub in assembly. Bare machine
/// only. `note` follows the usual words.
extern "C" [[noreturn]] void todo_from_assembly(const char* task, const char* file, unsigned line,
                                                const char* note);
