// SPDX-License-Identifier: MIT
// Variables without a value in the file must be zero, right up to the end of the last page.
#include <cstdint>

#include "kern/user/digest.hh"
#include "kern/user/user.hh"

namespace {
constexpr std::uint64_t words = 5000;       // nearly ten pages
volatile std::uint64_t before[3]{7, 8, 9};  // the file's last bytes: zeros begin in mid-page
volatile std::uint64_t zeros[words];
}  // namespace

extern "C" char image_end[];

extern "C" void main() {
    user::require(before[0] == 7 && before[2] == 9, "data before bss is not the file's");
    for (std::uint64_t i = 0; i < words; ++i)
        user::require(zeros[i] == 0, "a word of bss is not zero at the start");
    const auto end = user::address_of(image_end);
    for (auto at = end; at % user::page_size != 0; ++at)
        user::require(*reinterpret_cast<volatile char*>(at) == 0,
                      "a byte behind the program in its last page is not zero");
    const auto key = user::argument("key", 0);
    for (std::uint64_t i = 0; i < words; ++i) zeros[i] = user::scramble(key + i);
    user::Digest digest{key};
    digest.add_memory(zeros, sizeof zeros);
    user::exit(digest.value());
}
