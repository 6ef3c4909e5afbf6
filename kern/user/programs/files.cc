// SPDX-License-Identifier: MIT
// Opens the file `secret` and reads it in pieces that fit no boundary.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include "kern/user/digest.hh"
#include "kern/user/user.hh"

namespace {
alignas(8) std::array<std::byte, 16384> content;
}

extern "C" void main() {
    user::require_equal(user::open("no-such-file"), user::error(user::Failure::not_found),
                        "opening a file that is not there");
    const auto file = user::open("secret");
    user::require(file >= 0, "the file `secret` cannot be opened");
    std::uint64_t size = 0;
    for (std::uint64_t piece = 1;; piece += 61) {
        const auto rest = std::span{content}.subspan(size);
        const auto got = user::read(file, rest.first(std::min(piece, rest.size())));
        user::require(got >= 0, "reading fails");
        if (got == 0) break;
        size += static_cast<std::uint64_t>(got);
    }
    user::Digest digest{user::argument("key", 0)};
    digest.add_memory(content.data(), size);
    user::exit(digest.value());
}
