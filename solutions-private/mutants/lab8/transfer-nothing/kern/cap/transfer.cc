// SPDX-License-Identifier: MIT
#include "kern/cap/transfer.hh"

#include <algorithm>

namespace kern::cap {
namespace {

/// Gives one capability. Returns whether it arrived.
bool give(const Tcb& from, std::uint64_t sent, const Tcb& to, std::uint64_t received) {
    const auto source = cap_lookup(from.cnode.capability, sent, 64);
    if (!source) return false;
    const auto destination = cap_lookup(to.cnode.capability, received, 64);
    if (!destination) return false;
    return cap_derive(**source, **destination, all_rights, std::nullopt) == Status::Done;
}

}  // namespace

void transfer(Tcb& from, Tcb& to, std::uint64_t badge, bool may_grant) {
    (void)from;
    (void)to;
    (void)badge;
    (void)may_grant;
    (void)give;
}

}  // namespace kern::cap
