// SPDX-License-Identifier: MIT
// The first program: says hello. With a key it also reads every byte of its constants and its data,
// which are filled anew for each run.
#include <cstdint>

#include "kern/user/digest.hh"
#include "kern/user/user.hh"

// The harness writes its own bytes over these patterns before the boot (grader/testkit/images.py).
constexpr std::uint64_t pattern_words = 1100;  // more than two pages
extern "C" {
extern const std::uint64_t pattern_rodata[pattern_words];
const std::uint64_t pattern_rodata[pattern_words]{1};
volatile std::uint64_t pattern_data[pattern_words]{2};
}

extern "C" void main() {
    user::print("Hello world!\n");
    const auto key = user::argument("key", 0);
    if (key == 0) user::exit(0);
    user::Digest digest{key};
    digest.add_memory(pattern_rodata, sizeof pattern_rodata);
    digest.add_memory(pattern_data, sizeof pattern_data);
    // Data can be written, and holds what was written.
    for (std::uint64_t i = 0; i < pattern_words; ++i) pattern_data[i] = pattern_data[i] + i;
    digest.add_memory(pattern_data, sizeof pattern_data);
    user::exit(digest.value());
}
