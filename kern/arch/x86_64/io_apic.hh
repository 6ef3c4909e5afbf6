// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

namespace kern::arch {

/// An interrupt with that vector has come. Returns whether it is a device's; then it is noted.
bool note_device_interrupt(std::uint64_t vector);

}  // namespace kern::arch
