// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstdint>

#include "kern/cap/interface.hh"

/// The library of programs on the microkernel: its system calls, and nothing else.
namespace micro {

using kern::cap::Method;
using kern::cap::Rights;
using kern::cap::Status;
using kern::cap::SystemCall;
using kern::cap::Type;

/// What is sent, and what comes back.
struct Message {
    std::uint64_t label = 0;               ///< what it is about
    std::uint64_t length = 0;              ///< words
    std::uint64_t capabilities = 0;        ///< capabilities
    std::array<std::uint64_t, 4> words{};  ///< the first ones
    std::uint64_t badge = 0;               ///< received
    Status status = Status::Done;          ///< how the call ended
};

/// The instruction itself. [kern/cap/interface.hh]
Message system_call(SystemCall call, std::uint64_t address, const Message& message = {});

/// Calls a method of an object, or a server, with as many words as there are arguments.
template <class... Words>
Message call(std::uint64_t address, std::uint64_t label, Words... words) {
    return system_call(SystemCall::Call, address,
                       {.label = label,
                        .length = sizeof...(words),
                        .words = {static_cast<std::uint64_t>(words)...}});
}
template <class... Words>
Status call(std::uint64_t address, Method method, Words... words) {
    return call(address, static_cast<std::uint64_t>(method), words...).status;
}

}  // namespace micro
