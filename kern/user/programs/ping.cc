// SPDX-License-Identifier: MIT
// Sends numbers and a page to pong, which it starts, and gets answers.
#include <cstdint>

#include "kern/user/digest.hh"
#include "kern/user/user.hh"

namespace {
constexpr std::uint64_t page = user::utemp, answers = 0x3f'0000;
std::uint64_t& word(std::uint64_t address) {
    return *reinterpret_cast<std::uint64_t*>(address);
}
}  // namespace

extern "C" void main() {
    const auto key = user::argument("key", 0), rounds = user::argument("rounds", 50);
    const auto pong = user::spawn("pong.elf", user::arguments());
    user::require(pong > 0, "pong.elf cannot be spawned");
    user::require_equal(user::page_alloc(page, user::right_read | user::right_write), 0,
                        "page_alloc");
    user::Digest digest{key};
    for (std::uint64_t round = 0; round < rounds; ++round) {
        word(page) = user::scramble(key + round);
        // pong may read the page; so it must see the value, and cannot change it.
        user::require_equal(user::send(pong, round, page, user::right_read), 0, "send");
        const auto answer = user::receive(answers);
        user::require_equal(answer.sender, pong, "the answer's sender");
        user::require_equal(static_cast<std::int64_t>(answer.rights),
                            user::right_read | user::right_write, "the answer's rights");
        word(answers) += 1;  // a page that may be written
        digest.add(answer.value);
        digest.add(word(answers));
    }
    user::exit(digest.value());
}
