// SPDX-License-Identifier: MIT
// The kernel of lab 0: prints the checksum of each boot module, and powers off. The machine is set
// up when kernel_main is called: memory, traps, and all CPUs (kern/arch/x86_64). This one runs on
// CPU 0; the others wait for work that never comes.
#include <cstddef>
#include <span>

#include "kern/arch/arch.hh"
#include "kern/boot/boot_info.hh"
#include "kern/checksum/checksum_evidence.hh"
#include "kern/lib/adler32.hh"
#include "kern/lib/print.hh"

extern "C" void kernel_main(const kern::BootInfo& boot) {
    kern::ChecksumEvidence& evidence = kern::checksum_evidence;
    evidence.cpus = kern::arch::cpu_count();
    kern::kprint("nestling-checksum: {} {}, booted by {}\n", kern::arch::cpu_count(),
                 kern::arch::cpu_count() == 1 ? "CPU" : "CPUs", kern::describe(boot.protocol));
    for (const kern::BootModule& module : boot.modules) {
        // All physical memory is mapped, one to one, from one address on: the direct map.
        const std::span<const std::byte> bytes{kern::arch::direct_map(module.range.begin),
                                               module.range.size()};
        const std::uint32_t checksum = kern::adler32(bytes);
        kern::kprint("boot module of {} bytes: checksum 0x{:08x}\n", bytes.size(), checksum);
        evidence.records[evidence.record_count++] = {.length = bytes.size(), .checksum = checksum};
    }
    evidence.finished = 1;
    kern::arch::power_off(0);
}
