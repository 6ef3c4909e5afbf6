// SPDX-License-Identifier: MIT
// The hypervisor kernel: carries out the plan of its boot module, one virtual machine after the
// other.
#include <algorithm>
#include <array>
#include <cstddef>
#include <span>
#include <string_view>

#include "kern/arch/arch.hh"
#include "kern/boot/boot_info.hh"
#include "kern/fs/block_device.hh"
#include "kern/fs/file_system.hh"
#include "kern/lib/print.hh"
#include "vmm/backend.hh"
#include "vmm/evidence.hh"
#include "vmm/main/held_device.hh"
#include "vmm/main/plan.hh"
#include "vmm/main/runner.hh"
#include "vmm/vm.hh"

namespace vmm {

namespace {

using kern::kprint;

/// What power_off tells the machine's owner. A virtual machine that fails is no failure of the
/// boot.
enum class BootStatus : unsigned {
    PlanDone = 0,
    NoVirtualization = 1,
    NoFileSystem = 2,
    BadPlan = 3,
};

std::array<VmPlan, Evidence::max_records> machines;

/// Reads the file `plan`. Without one, there is one machine: gkernel on all CPUs.
std::expected<std::size_t, BootStatus> read_plan(const kern::FileSystem& files) {
    if (const auto file = files.open("plan"); !file && file.error() == Error::NotFound) {
        machines[0] = {.name = "guest",
                       .file = "gkernel.elf",
                       .vcpus = std::min(kern::arch::cpu_count(), Vm::max_vcpus),
                       .args = "touch=text,rodata,data,bss,ram:4096:64:16:w"};
        return 1;
    }
    const auto text = kern::plan::read_text(files);
    if (!text) return std::unexpected(BootStatus::BadPlan);
    const auto count = parse_plan(*text, machines);
    if (!count) {
        kern::plan::report(count.error());
        return std::unexpected(BootStatus::BadPlan);
    }
    return *count;
}

BootStatus carry_out_plan(const kern::BootInfo& boot) {
    if (boot.modules.size() == 0) {
        kprint(
            "no boot module: give the kernel a file-system image (grader/testkit/images.py makes "
            "one)\n");
        return BootStatus::NoFileSystem;
    }
    const kern::MemoryRange& module = boot.modules[0].range;
    static kern::RamDisk disk{
        std::span{kern::arch::direct_map(module.begin), module.end - module.begin}};
    static HeldDevice device{disk};
    const auto files = kern::FileSystem::mount(device);
    if (!files) {
        kprint("the boot module is no file-system image: {}\n", files.error());
        return BootStatus::NoFileSystem;
    }
    const auto count = read_plan(*files);
    if (!count) return count.error();
    const auto backend = find_backend();
    const std::expected<void, const char*> ready =
        backend ? Vm::prepare(**backend) : std::unexpected{backend.error()};
    if (!ready) {
        kprint("no virtual machines: {}\n", ready.error());
        return BootStatus::NoVirtualization;
    }
    for (const VmPlan& plan : std::span{machines}.first(*count)) {
        VmRecord& record = vmm_evidence.records[vmm_evidence.record_count++];
        run_virtual_machine(plan, *files, device, **backend, record);
    }
    vmm_evidence.finished = 1;
    return BootStatus::PlanDone;
}

}  // namespace

}  // namespace vmm

extern "C" void kernel_main(const kern::BootInfo& boot) {
    vmm::vmm_evidence.cpus = kern::arch::cpu_count();
    kern::kprint("nestling: {} {}, booted by {}\n", kern::arch::cpu_count(),
                 kern::arch::cpu_count() == 1 ? "CPU" : "CPUs", kern::describe(boot.protocol));
    kern::arch::power_off(static_cast<unsigned>(vmm::carry_out_plan(boot)));
}
