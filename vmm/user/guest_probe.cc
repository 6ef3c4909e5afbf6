// SPDX-License-Identifier: MIT
#include "vmm/user/guest_probe.hh"

#include <algorithm>
#include <limits>

namespace vmm {
namespace {

/// A decimal number; 0 if it is none, or has more than 32 bits.
std::uint32_t number_of(std::string_view digits) {
    std::uint64_t value = 0;
    for (const char c : digits) {
        if (c < '0' || c > '9') return 0;
        value = value * 10 + static_cast<std::uint64_t>(c - '0');
        if (value > std::numeric_limits<std::uint32_t>::max()) return 0;
    }
    return static_cast<std::uint32_t>(value);
}

}  // namespace

std::expected<GuestProbe, Error> parse_guest_probe(std::string_view word) {
    if (word.empty()) return GuestProbe{};
    const std::string_view kind = word.substr(0, word.find(':'));
    const std::uint32_t number = number_of(word.substr(std::min(kind.size() + 1, word.size())));
    if (number != 0 && kind == "move") return GuestProbe{.move = number};
    if (number != 0 && kind == "spoil") return GuestProbe{.spoil = number};
    return std::unexpected{Error::InvalidArgument};
}

}  // namespace vmm
