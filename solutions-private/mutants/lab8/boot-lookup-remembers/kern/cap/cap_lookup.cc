// SPDX-License-Identifier: MIT
#include "kern/cap/cap_lookup.hh"

namespace kern::cap {

std::expected<Slot*, LookupFailure> cap_lookup(const Capability& root, std::uint64_t address,
                                               unsigned depth) {
    using Kind = LookupFailure::Kind;
    /// The `count` bits below bit `left`.
    const auto bits = [address](unsigned left, unsigned count) {
        return count == 0 ? 0 : address >> (left - count) & ((1ULL << count) - 1);
    };
    struct Known {
        const Capability* root;
        std::uint64_t address;
        unsigned depth;
        Slot* slot;
    };
    static Known all[256];
    Known& known =
        all[(address ^ address >> 13 ^ reinterpret_cast<std::uint64_t>(&root) >> 11) % 256];
    if (known.root == &root && known.address == address && known.depth == depth) return known.slot;
    const Capability* node = &root;
    unsigned left = depth;
    for (unsigned level = 0;; ++level) {
        const auto failure = [&](Kind kind, unsigned at) {
            return std::unexpected{LookupFailure{.kind = kind, .level = level, .bits_left = at}};
        };
        if (node->type == Type::Null) return failure(Kind::Missing, left);
        if (node->type != Type::CNode) return failure(Kind::WrongObject, left);
        if (left < node->guard_bits || bits(left, node->guard_bits) != node->value)
            return failure(Kind::GuardMismatch, left);
        const unsigned behind_guard = left - node->guard_bits;
        if (behind_guard < node->size_bits) return failure(Kind::DepthMismatch, left);
        const std::uint64_t index = bits(behind_guard, node->size_bits);
        if (index == 0) return failure(Kind::NoSlot, left);
        Slot& slot = cnode_of(*node).slot(index);
        left = behind_guard - node->size_bits;
        if (left == 0) {
            known = {&root, address, depth, &slot};
            return &slot;
        }
        node = &slot.capability;
    }
}

}  // namespace kern::cap
