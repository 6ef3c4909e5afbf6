// SPDX-License-Identifier: MIT
#pragma once

#include "kern/arch/trap_frame.hh"

namespace kern::arch {

/// What handle_user_trap calls once the machine's own part of a trap out of ring 3 is done.
extern void (*user_trap_handler)(const TrapFrame& frame);

}  // namespace kern::arch
