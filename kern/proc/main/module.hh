// SPDX-License-Identifier: MIT
#pragma once

#include "kern/boot/boot_info.hh"

namespace kern {

/// What power_off tells the machine's owner. A program that fails is no failure of the boot.
enum class BootStatus : unsigned {
    PlanDone = 0,
    NoModule = 2,
    BadPlan = 3,
    NoVirtualization = 4,  ///< of the kernel with guests
};

/// Runs the program that is the boot module, or carries out the plan of a boot module that is a
/// file system's image, and fills proc_evidence.
BootStatus run_module(const BootInfo& boot);

}  // namespace kern
