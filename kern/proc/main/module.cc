// SPDX-License-Identifier: MIT
#include "kern/proc/main/module.hh"

#include <array>
#include <cstddef>
#include <expected>
#include <span>
#include <string_view>

#include "kern/arch/arch.hh"
#include "kern/elf/peeker.hh"
#include "kern/fs/block_device.hh"
#include "kern/fs/file_system.hh"
#include "kern/lib/print.hh"
#include "kern/proc/env.hh"
#include "kern/proc/main/plan.hh"
#include "kern/proc/main/proc_evidence.hh"
#include "kern/proc/main/runner.hh"

namespace kern {

namespace {

std::array<RunPlan, ProcEvidence::max_records> steps;

BootStatus carry_out_plan(const FileSystem& files) {
    const auto text = plan::read_text(files);
    if (!text) return BootStatus::BadPlan;
    const auto count = parse_run_plan(*text, steps);
    if (!count) {
        plan::report(count.error());
        return BootStatus::BadPlan;
    }
    set_program_files(&files);
    for (const RunPlan& step : std::span{steps}.first(*count))
        run_step(step, files, proc_evidence.records[proc_evidence.record_count++]);
    return BootStatus::PlanDone;
}

}  // namespace

BootStatus run_module(const BootInfo& boot) {
    proc_evidence.cpus = arch::cpu_count();
    if (boot.modules.size() == 0) {
        kprint("no boot module: give the kernel a program (qemu: -initrd PROGRAM)\n");
        return BootStatus::NoModule;
    }
    const MemoryRange& module = boot.modules[0].range;
    const std::span bytes{arch::direct_map(module.begin), module.size()};
    static RamDisk disk{bytes};
    if (const auto files = FileSystem::mount(disk)) {
        if (const auto status = carry_out_plan(*files); status != BootStatus::PlanDone)
            return status;
    } else {
        run_root_program(MemoryPeeker{bytes}, proc_evidence.records[proc_evidence.record_count++]);
    }
    proc_evidence.finished = 1;
    return BootStatus::PlanDone;
}

}  // namespace kern
