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
    // Once more from somewhere in the middle, and from beyond the end.
    std::array<std::byte, 100> again;
    const std::uint64_t middle = size / 2;
    user::require_equal(user::seek(file, middle), 0, "seek");
    const auto got = user::read(file, again);
    user::require(got > 0 && std::ranges::equal(
                                 std::span{again}.first(static_cast<std::size_t>(got)),
                                 std::span{content}.subspan(middle, static_cast<std::size_t>(got))),
                  "after a seek other bytes come");
    for (const std::uint64_t offset : {size, ~std::uint64_t{0}, std::uint64_t{1} << 63}) {
        user::require_equal(user::seek(file, offset), 0, "seek to the end or beyond");
        user::require_equal(user::read(file, again), 0, "reading at the end or beyond");
    }
    user::require_equal(user::seek(file + 1, 0), user::error(user::Failure::not_found),
                        "seek in a file that is not open");
    user::Digest digest{user::argument("key", 0)};
    digest.add_memory(content.data(), size);
    user::exit(digest.value());
}
