// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

namespace micro {

/// Runs hostile children until they have made so many calls; who has ended itself has a successor.
/// Into `report`: 1, what the client has seen without one, in how many rounds it was something else,
/// how many calls were made, how many were Done, how many rounds there were.
void endure(std::uint64_t key, std::uint64_t calls, volatile std::uint64_t* report);

}  // namespace micro
