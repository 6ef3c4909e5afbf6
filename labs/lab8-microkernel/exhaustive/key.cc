// SPDX-License-Identifier: MIT
#include "key.hh"

namespace lab::exhaustive {
namespace {

/// Two hashes of 64 bits, beside each other.
class Hash {
   public:
    void add(std::uint64_t value) {
        key_.high = mix(key_.high ^ value) + 0x9e37'79b9'7f4a'7c15;
        key_.low = mix(key_.low + value * 0xd6e8'feb8'6659'fd93) ^ 0xa076'1d64'78bd'642f;
    }
    Key key() const { return key_; }

   private:
    Key key_{};
    static std::uint64_t mix(std::uint64_t x) {
        x *= 0xff51'afd7'ed55'8ccd;
        return x ^ x >> 32;
    }
};

/// Other names for threads and endpoints.
struct Names {
    std::array<Id, threads> thread, by_new_name;
    std::array<Id, endpoints> endpoint;
    std::uint64_t of(Id one) const { return one == none ? 7 : thread[one]; }
};

template <unsigned Most>
std::uint64_t packed(const List<Most>& list, const Names& names) {
    std::uint64_t word = list.count;
    for (const Id one : list) word = word << 4 | names.of(one);
    return word;
}

std::uint64_t packed(const Thread& one, const Names& names) {
    const bool is_sending = one.state == ThreadState::Sending;
    const bool may_grant = (is_sending || one.state == ThreadState::Receiving) && one.may_grant;
    std::uint64_t word = static_cast<std::uint64_t>(one.state);
    const auto put = [&](std::uint64_t value, unsigned bits) { word = word << bits | value; };
    put(one.priority, 4);
    put(names.of(one.caller), 4);
    put(names.of(one.replier), 4);
    put(may_grant, 1);
    put(one.caller != none && one.reply_may_grant, 1);
    put(one.faulted, 1);
    put(one.is_bound, 1);
    put(is_sending ? one.badge : 0U, 8);
    put(is_sending && one.is_call, 1);
    put(is_sending ? static_cast<std::uint64_t>(one.text) : 0, 4);
    return word;
}

/// Which slot it is, as far as that can be told.
std::uint64_t tag(Id slot, const Names& names, bool has_gifts) {
    if (slot < first_table_slot || slot >= first_unit_slot) return slot;
    if (slot >= first_thread_slot) {
        const unsigned at = slot - first_thread_slot;
        return 64 + names.thread[at / thread_slots] * thread_slots + at % thread_slots;
    }
    if (!has_gifts) return 128;
    for (Id thread = 0; thread < threads; ++thread)
        if (slot == receive_slot(thread)) return 129 + names.of(thread);
    return slot == gift_slot ? 132 : 128;
}

Key key_with(const State& state, const Names& names, bool has_gifts) {
    Hash hash;
    for (const Id thread : names.by_new_name) hash.add(packed(state.thread[thread], names));
    for (Id name = 0; name < endpoints; ++name)
        hash.add(packed(state.endpoint[names.endpoint[name]], names));
    for (const Threads& ready : state.ready) hash.add(packed(ready, names));
    std::uint64_t rest = packed(state.waiting, names);
    rest = rest << 8 | state.word;
    rest = rest << 2 | static_cast<std::uint64_t>(state.is_active) << 1 |
           static_cast<std::uint64_t>(state.has_irq);
    hash.add(rest << 4 | names.of(state.running));
    for (unsigned i = 0; i < state.tree.count; ++i) {
        const Id slot = state.tree.at[i];
        const Cap& cap = state.cap[slot];
        std::uint64_t object = cap.object;
        if (cap.type == Type::Tcb || (cap.type == Type::Frame && cap.object < threads))
            object = names.of(cap.object);
        // Two endpoints: a permutation is its own inverse.
        if (cap.type == Type::Endpoint && object < endpoints) object = names.endpoint[object];
        const bool has_children = i + 1 < state.tree.count && state.depth[i + 1] > state.depth[i];
        unsigned value = cap.type == Type::Untyped && !has_children ? 0 : cap.value;
        if (cap.type == Type::Frame && cap.object < threads) value = value != 0 ? 1 : 0;
        std::uint64_t word = tag(slot, names, has_gifts);
        word = word << 8 | state.depth[i];
        word = word << 8 | static_cast<std::uint64_t>(cap.type);
        word = word << 8 | cap.rights;
        word = word << 8 | cap.bits;
        word = word << 8 | object;
        hash.add(word << 8 | value);
    }
    for (const Id dead : state.dead) hash.add(1000 + (dead < threads ? names.of(dead) : dead));
    return hash.key();
}

}  // namespace

Key key_of(const State& state, bool has_gifts) {
    static constexpr Id orders[6][threads] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2},
                                              {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    Key least{~0ULL, ~0ULL};
    for (const auto& order : orders)
        for (Id swapped = 0; swapped < 2; ++swapped) {
            Names names{};
            for (Id name = 0; name < threads; ++name) {
                names.by_new_name[name] = order[name];
                names.thread[order[name]] = name;
            }
            for (Id i = 0; i < endpoints; ++i) names.endpoint[i] = i ^ swapped;
            least = std::min(least, key_with(state, names, has_gifts));
        }
    return least;
}

const char* broken_invariant(const State& state) {
    const auto stands = [](const Threads& queue, Id thread) {
        return static_cast<unsigned>(std::count(queue.begin(), queue.end(), thread));
    };
    for (Id thread = 0; thread < threads; ++thread) {
        unsigned at_endpoints = 0, in_ready = 0;
        for (const Threads& queue : state.endpoint) at_endpoints += stands(queue, thread);
        for (const Threads& queue : state.ready) in_ready += stands(queue, thread);
        const unsigned waits = stands(state.waiting, thread);
        const Thread& one = state.thread[thread];
        const bool meets = one.state == ThreadState::Sending || one.state == ThreadState::Receiving;
        if (at_endpoints != meets || in_ready != (one.state == ThreadState::Ready) ||
            waits != (one.state == ThreadState::Waiting) ||
            (state.running == thread) != (one.state == ThreadState::Running))
            return "a thread does not stand in exactly the one queue of its state";
        if (one.caller != none && (state.thread[one.caller].replier != thread ||
                                   state.thread[one.caller].state != ThreadState::Calling))
            return "in a caller's slot stands one who does not wait for a reply";
        if (one.replier != none && state.thread[one.replier].caller != thread)
            return "a thread waits for a reply of one who does not know it";
    }
    if (state.is_active && !state.waiting.is_empty())
        return "a notification is active, and somebody waits for it";
    std::array<Id, slots> open{};
    for (unsigned i = 0; i < state.tree.count; ++i) {
        const Id slot = state.tree.at[i];
        const Cap& cap = state.cap[slot];
        const unsigned depth = state.depth[i];
        if (depth > (i == 0 ? 0 : state.depth[i - 1] + 1U) || cap.type == Type::Null)
            return "the derivation tree is not well formed";
        open[depth] = slot;
        if (depth == 0) continue;
        const Cap& parent = state.cap[open[depth - 1]];
        if (parent.type != Type::Untyped &&
            (cap.type != parent.type || cap.object != parent.object ||
             (cap.rights & ~parent.rights) != 0 ||
             (parent.value != 0 && cap.value != parent.value && cap.type != Type::Frame)))
            return "a capability is stronger than its parent";
        if (parent.type != Type::Untyped || parent.object < first_unit || parent.object == none)
            continue;
        const auto size = [](const Cap& one) {
            if (one.type == Type::CNode) return 1U << one.bits;
            return one.type == Type::Untyped ? 1U << (one.bits - 6) : 1U;
        };
        if (cap.object < parent.object ||
            cap.object + size(cap) > static_cast<unsigned>(parent.object) + parent.value)
            return "a child of an Untyped lies outside of what was given away of it";
        for (unsigned j = i + 1; j < state.tree.count && state.depth[j] >= depth; ++j) {
            const Cap& other = state.cap[state.tree.at[j]];
            const bool is_copy = cap.type == other.type && cap.object == other.object;
            if (state.depth[j] == depth && !is_copy && cap.object < other.object + size(other) &&
                other.object < cap.object + size(cap))
                return "two children of an Untyped are not apart";
        }
    }
    for (Id slot = 0; slot < slots; ++slot)
        if ((state.cap[slot].type != Type::Null) !=
            (std::find(state.tree.begin(), state.tree.end(), slot) != state.tree.end()))
            return "a capability is not in the tree";
    return nullptr;
}

}  // namespace lab::exhaustive
