// SPDX-License-Identifier: MIT
#pragma once

#include <ucontext.h>

namespace lab {

/// For a handler of SIGSEGV, when the page at `address` may be written by now: lets the one store
/// that faulted there pass. Returns true if it has been done for the program, which goes on behind
/// it; or false if it is still to come, with a SIGTRAP right behind it.
bool step_over_store(ucontext_t& context, void* address);

/// For the handler of that SIGTRAP: the program goes on as if nothing had been.
void end_step(ucontext_t& context);

}  // namespace lab
