// SPDX-License-Identifier: MIT
#pragma once

#include "kern/cap/kernel.hh"
#include "kern/cap/main/hardware.hh"

namespace kern::cap {

/// The kernel of this machine, and the root task.
struct World {
    HardwareMachine machine{};
    Kernel kernel{};
    Tcb* root = nullptr;
    CNode* root_cnode = nullptr;  ///< the task's slots
    std::byte* report = nullptr;  ///< the page of RootSlot::Report
};

/// Runs threads on the first `cpus` CPUs until the root task is Inactive, nobody can run any more,
/// or the time is over. Then the evidence is complete, and the machine ends.
[[noreturn]] void run_threads(World& world, unsigned cpus);

/// Another CPU leaves ring 3, if it is there: see Machine::stop. It waits for the lock in the
/// kernel's address space. The caller has the lock.
void stop_cpu(unsigned cpu);
/// All CPUs, also this one, translate by the kernel's own tables until they enter a thread the next
/// time: none has anything of an address space in its TLB, or in CR3.
void leave_address_spaces();

}  // namespace kern::cap
