// SPDX-License-Identifier: MIT
// Allocates, maps and unmaps pages of its own.
#include <cstdint>

#include "kern/user/digest.hh"
#include "kern/user/user.hh"

namespace {

constexpr std::uint64_t here = 0x1000'0000, there = 0x7000'0000'0000;  // far apart
constexpr auto read_write = user::right_read | user::right_write;

volatile std::uint64_t& word(std::uint64_t address) {
    return *reinterpret_cast<volatile std::uint64_t*>(address);
}

}  // namespace

extern "C" void main() {
    const auto key = user::argument("key", 0);
    user::Digest digest{key};
    user::require_equal(user::page_alloc(here, read_write), 0, "page_alloc");
    for (std::uint64_t i = 0; i < user::page_size; i += 8)
        user::require(word(here + i) == 0, "a new page holds zeros");
    word(here) = user::scramble(key);
    user::require_equal(user::page_map(here, there, read_write), 0, "page_map");
    user::require(word(there) == user::scramble(key), "both addresses show one page");
    word(there + 8) = key;
    user::require(word(here + 8) == key, "what is written at one is read at the other");
    digest.add(word(here));
    digest.add(word(there + 8));
    // Unmapping one leaves the other.
    user::require_equal(user::page_unmap(here), 0, "page_unmap");
    digest.add(word(there));
    // Allocating anew at the same place gives another page.
    user::require_equal(user::page_alloc(here, read_write), 0, "page_alloc again");
    user::require(word(here) == 0, "a page that is allocated anew holds zeros");
    // No right comes out of nothing.
    user::require_equal(user::page_map(there, user::utemp, user::right_read), 0,
                        "page_map with fewer rights");
    user::require_equal(user::page_map(user::utemp, here, read_write),
                        user::error(user::Failure::invalid_argument),
                        "page_map with more rights than the page has");
    user::require_equal(user::page_alloc(0, read_write), user::error(user::Failure::bad_address),
                        "page_alloc of page zero");
    digest.add(word(user::utemp));
    if (user::argument("write", 0) != 0) word(user::utemp) = 1;  // read-only: must fault
    if (user::argument("gone", 0) != 0) {
        (void)user::page_unmap(there);
        word(there) = 1;
    }
    user::exit(digest.value());
}
