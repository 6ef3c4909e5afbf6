// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "world.hh"

namespace lab::exhaustive {

/// What a search tries: from the scene, all sequences of these steps.
struct Scope {
    Scene scene{};
    std::vector<SystemCall> calls{};  ///< by each capability that differs from the others
    std::vector<Text> texts{Text::Long};
    bool faults = false, interrupts = false, suspends = false, deletes = false, revokes = false;
    std::vector<Rights> copies{};        ///< with these rights; in the first slot that is empty
    std::vector<std::uint8_t> badges{};  ///< and with these badges
    struct Object {
        Type type;
        std::uint8_t bits;
    };
    std::vector<Object> objects{};  ///< are made of Untypeds, one and two at once
    std::size_t most_transitions = 100'000;
};

/// What came of a search.
struct Result {
    std::string
        story{};  ///< of the shortest sequence that shows a difference; empty: there is none
    std::size_t transitions = 0, states = 0;
    unsigned depth = 0;        ///< so long are the longest sequences that were tried
    bool is_complete = false;  ///< no sequence leads to a state that was not seen
};

/// Searches breadth first. Two states that differ only in which thread, endpoint or slot is which
/// count as one.
Result search(const Scope& scope);

}  // namespace lab::exhaustive
