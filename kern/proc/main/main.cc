// SPDX-License-Identifier: MIT
// The kernel with user programs: runs the program that is its boot module, or carries out the plan
// of a boot module that is a file-system image.
#include "kern/arch/arch.hh"
#include "kern/boot/boot_info.hh"
#include "kern/lib/print.hh"
#include "kern/proc/main/module.hh"

extern "C" void kernel_main(const kern::BootInfo& boot) {
    kern::kprint("nestling-user: {} {}, booted by {}\n", kern::arch::cpu_count(),
                 kern::arch::cpu_count() == 1 ? "CPU" : "CPUs", kern::describe(boot.protocol));
    kern::arch::power_off(static_cast<unsigned>(kern::run_module(boot)));
}
