// SPDX-License-Identifier: MIT
// What a stub does in a user program: the same words as in the kernel (kern/lib/todo.cc), and the
// end of this program alone.
#include "kern/lib/todo.hh"

#include <array>
#include <string_view>

#include "kern/user/user.hh"

namespace kern {
namespace {

/// The status of a program that met a stub: as on the host.
constexpr std::uint64_t not_written_yet = 121;

/// `path` from the repository's root on.
std::string_view from_root(std::string_view path) {
    const std::size_t at = path.rfind("vmm/user/");
    return at == std::string_view::npos ? path : path.substr(at);
}

}  // namespace

void todo(const char* task, std::source_location where) {
    std::array<char, 16> digits;
    std::size_t begin = digits.size();
    for (unsigned line = where.line(); line != 0; line /= 10)
        digits[--begin] = static_cast<char>('0' + line % 10);
    user::print("TODO ");
    user::print(task);
    user::print(": ");
    user::print(from_root(where.file_name()));
    user::print(":");
    user::print({digits.data() + begin, digits.size() - begin});
    user::print(" is not written yet\n");
    user::exit(not_written_yet);
}

}  // namespace kern
