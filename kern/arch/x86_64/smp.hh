// SPDX-License-Identifier: MIT
#pragma once

#include "kern/boot/boot_info.hh"

namespace kern::arch {

/// Loads this CPU's descriptors, with stacks of their own for the faults that need one, and
/// switches on what the guests' FPU and SSE state needs.
void set_up_cpu();

/// Starts the other CPUs, one after the other, each into its idle loop. Those beyond max_cpus are
/// left out, with a line on the console. Panics if one does not start.
void start_other_cpus(const BootInfo& boot);

}  // namespace kern::arch
