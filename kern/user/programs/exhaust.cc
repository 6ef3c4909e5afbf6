// SPDX-License-Identifier: MIT
// Takes memory until there is none, and gives it back. With `again=1` the same must then work
// again.
#include <cstdint>

#include "kern/user/user.hh"

namespace {

constexpr std::uint64_t begin = 0x1000'0000;

/// How many pages there were.
std::uint64_t take_all() {
    for (std::uint64_t count = 0;; ++count) {
        const std::uint64_t at = begin + count * user::page_size;
        const auto answer = user::page_alloc(at, user::right_read | user::right_write);
        if (answer != 0) {
            user::require_equal(answer, user::error(user::Failure::out_of_memory),
                                "page_alloc without memory");
            return count;
        }
        *reinterpret_cast<volatile std::uint64_t*>(at) = at;
    }
}

void give_back(std::uint64_t count) {
    while (count-- > 0) {
        const std::uint64_t at = begin + count * user::page_size;
        user::require(*reinterpret_cast<volatile std::uint64_t*>(at) == at,
                      "a page holds what was written");
        user::require_equal(user::page_unmap(at), 0, "page_unmap");
    }
}

}  // namespace

extern "C" void main() {
    const auto count = take_all();
    user::require(count > 0, "there was no memory at all");
    give_back(count);
    if (user::argument("again", 0) != 0) {
        const auto second = take_all();
        // Tables that were made the first time may have stayed.
        user::require(second + 64 > count && second < count + 64,
                      "pages that were given back cannot be had again");
        give_back(second);
    }
    user::finish(1);
}
