// SPDX-License-Identifier: MIT
// The kernel with user programs that may have guests: as kern/proc/main, with the system calls of
// vmm/user beside its own.
#include <expected>

#include "kern/arch/arch.hh"
#include "kern/boot/boot_info.hh"
#include "kern/lib/print.hh"
#include "kern/proc/main/module.hh"
#include "vmm/probe.hh"
#include "vmm/user/guest_evidence.hh"
#include "vmm/user/system_calls.hh"
#include "vmm/vm.hh"

extern "C" void kernel_main(const kern::BootInfo& boot) {
    kern::kprint("nestling-vmm: {} {}, booted by {}\n", kern::arch::cpu_count(),
                 kern::arch::cpu_count() == 1 ? "CPU" : "CPUs", kern::describe(boot.protocol));
    const auto backend = vmm::find_backend();
    const std::expected<void, const char*> ready =
        backend ? vmm::Vm::prepare(**backend) : std::unexpected{backend.error()};
    if (!ready) {
        kern::kprint("no virtual machines: {}\n", ready.error());
        kern::arch::power_off(static_cast<unsigned>(kern::BootStatus::NoVirtualization));
    }
    kern::kprint("virtualization: {}\n", (*backend)->name);
    vmm::guest_evidence.vendor = *backend == &vmm::svm_backend ? 1 : 2;
    vmm::serve_guest_system_calls(vmm::probe_of(**backend));
    kern::arch::power_off(static_cast<unsigned>(kern::run_module(boot)));
}
