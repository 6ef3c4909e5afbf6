// SPDX-License-Identifier: MIT
#pragma once

namespace kern::arch {

/// Sets the serial line up: 115200 baud, 8 bits, no parity. console_write works from then on.
void start_console();

}  // namespace kern::arch
