// SPDX-License-Identifier: MIT
#pragma once

#include <compare>

#include "model.hh"

namespace lab::exhaustive {

/// Stands for a state and all that differ from it only in names.
struct Key {
    std::uint64_t high = 0, low = 0;
    auto operator<=>(const Key&) const = default;
};

/// The key of a state: of all names that its threads and endpoints may have, the ones that give the
/// least number. A slot of the table has no name but its place in the tree, unless messages name it.
Key key_of(const State& state, bool has_gifts);

/// What every state must be, whoever wrote the functions; empty, or what is wrong. Since the arena
/// is what the model has, it is said of both.
const char* broken_invariant(const State& state);

}  // namespace lab::exhaustive
