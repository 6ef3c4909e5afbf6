// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

namespace kern::arch {

/// For tests of the world switch: where this CPU was when it took the last kick, an address in the
/// code; 0 before the first.
std::uint64_t kicked_at();

}  // namespace kern::arch
