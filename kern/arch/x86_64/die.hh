// SPDX-License-Identifier: MIT
#pragma once

#include <string_view>

#include "kern/arch/x86_64/traps.hh"

namespace kern::arch {

/// Prints `message`, the interrupted registers and a backtrace from there, and ends the machine.
[[noreturn]] void die_with_frame(std::string_view message, const TrapFrame& frame);

/// Whether some CPU is on its way to end the machine.
bool is_dying();
/// Halts this CPU for ever.
[[noreturn]] void stop_this_cpu();

}  // namespace kern::arch
