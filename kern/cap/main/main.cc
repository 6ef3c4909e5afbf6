// SPDX-License-Identifier: MIT
// The microkernel of lab 8: its boot module is the root task (docs/microkernel.md).
#include <algorithm>

#include "kern/arch/arch.hh"
#include "kern/arch/device_interrupts.hh"
#include "kern/boot/boot_info.hh"
#include "kern/cap/main/micro_evidence.hh"
#include "kern/cap/main/root_task.hh"
#include "kern/lib/print.hh"

namespace kern::cap {
namespace {

World world;

void run(const BootInfo& boot) {
    if (boot.modules.empty()) {
        kprint("nestling-micro: no boot module: give it a root task\n");
        return;
    }
    world.kernel.machine = &world.machine;
    world.kernel.hardware = &world.machine;
    arch::route_device_interrupts();
    const MemoryRange& range = boot.modules[0].range;
    if (const auto made = make_root_task(world, {arch::direct_map(range.begin), range.size()});
        !made) {
        kprint("nestling-micro: the boot module is no root task: {}\n", made.error());
        return;
    }
    micro_evidence.records[0].cpus = arch::cpu_count();
    micro_evidence.record_count = 1;
    kprint("nestling-micro: {} MiB for the root task\n", micro_evidence.records[0].bytes >> 20);
    run_threads(world, arch::cpu_count());
}

}  // namespace
}  // namespace kern::cap

extern "C" void kernel_main(const kern::BootInfo& boot) {
    kern::kprint("nestling-micro: {} CPUs, booted by {}\n", kern::arch::cpu_count(),
                 kern::describe(boot.protocol));
    kern::cap::run(boot);
    kern::arch::power_off(1);
}
