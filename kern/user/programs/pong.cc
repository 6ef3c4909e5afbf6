// SPDX-License-Identifier: MIT
// Answers ping: a number made of the page's content, and a page of its own that it shares.
#include <cstdint>

#include "kern/user/digest.hh"
#include "kern/user/user.hh"

namespace {
constexpr std::uint64_t incoming = 0x3e'0000, outgoing = user::utemp;
std::uint64_t& word(std::uint64_t address) {
    return *reinterpret_cast<std::uint64_t*>(address);
}
}  // namespace

extern "C" void main() {
    const auto ping = user::parent_id();
    user::require(ping > 0, "pong is started by ping");
    const auto rounds = user::argument("rounds", 50);
    for (std::uint64_t round = 0; round < rounds; ++round) {
        const auto message = user::receive(incoming);
        user::require_equal(message.sender, ping, "the sender");
        user::require_equal(static_cast<std::int64_t>(message.rights), user::right_read,
                            "the rights of the page that came");
        user::require_equal(static_cast<std::int64_t>(message.value),
                            static_cast<std::int64_t>(round), "the number");
        user::require_equal(user::page_alloc(outgoing, user::right_read | user::right_write), 0,
                            "page_alloc");
        user::require(word(outgoing) == 0, "a new page holds zeros");
        word(outgoing) = word(incoming) ^ round;
        user::require_equal(user::send(ping, user::scramble(word(incoming)), outgoing,
                                       user::right_read | user::right_write),
                            0, "send");
    }
    user::exit(0);
}
