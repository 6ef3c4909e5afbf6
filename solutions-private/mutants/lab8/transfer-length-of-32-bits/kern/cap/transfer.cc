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
    const IpcBuffer* const source = buffer_of(from);
    IpcBuffer* const destination = buffer_of(to);
    const bool has_buffers = source != nullptr && destination != nullptr;

    to.message.label = from.message.label;
    to.message.badge = badge;
    const unsigned most = has_buffers ? message_words : register_words;
    const std::uint64_t length = std::min(static_cast<unsigned>(from.message.length), most);
    to.message.length = length;
    for (std::uint64_t i = 0; i < std::min<std::uint64_t>(length, register_words); ++i)
        to.message.words[i] = from.message.words[i];
    for (std::uint64_t i = register_words; i < length; ++i)
        destination->words[i] = source->words[i];

    to.message.capabilities = 0;
    if (!may_grant || !has_buffers) return;
    const auto wanted = std::min<std::uint64_t>(from.message.capabilities, message_capabilities);
    std::uint64_t& given = to.message.capabilities;
    while (given < wanted && give(from, source->sent[given], to, destination->received[given]))
        ++given;
}

}  // namespace kern::cap
