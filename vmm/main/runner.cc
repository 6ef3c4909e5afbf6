// SPDX-License-Identifier: MIT
#include "vmm/main/runner.hh"

#include <algorithm>
#include <array>
#include <atomic>
#include <memory>

#include "kern/arch/arch.hh"
#include "kern/lib/fixed.hh"
#include "kern/lib/print.hh"
#include "vmm/devices/ports.hh"
#include "vmm/frame_owners.hh"
#include "vmm/pager/kernel_vm.hh"
#include "vmm/probe.hh"
#include "vmm/refusal.hh"

namespace vmm {

namespace {

using kern::kprint;

/// Counts the faults that a held read waits for, and remembers which page each vCPU asked for last.
class Watcher final : public VmObserver {
   public:
    explicit Watcher(HeldDevice& device) : device_{device} {}
    void before_fault_is_served(Gpa page, unsigned vcpu) override {
        last_page_[vcpu].store(page.value());
        device_.count_fault(page, vcpu);
    }
    void mark(std::uint64_t, unsigned) override {}
    Gpa last_page(unsigned vcpu) const { return Gpa{last_page_[vcpu].load()}; }

   private:
    HeldDevice& device_;
    std::array<std::atomic<std::uint64_t>, Vm::max_vcpus> last_page_{};
};

std::expected<void, Refusal> map_devices(KernelVmPager& pager, const VmPlan& plan) {
    for (const Gpa page : plan.mmio) {
        auto frame = kern::Frame::allocate(frame_owner::guest_memory);
        if (!frame) return std::unexpected(Refusal{frame.error(), "mmio: a device's page"});
        if (const auto mapped = pager.map_mmio_page(page, frame->address()); !mapped)
            return std::unexpected(Refusal{mapped.error(), "mmio: a device's page"});
        frame->release();
    }
    return {};
}

std::expected<void, Refusal> protect_pages(KernelVmPager& pager, const VmPlan& plan) {
    for (const ProtectPlan& protect : plan.protect) {
        // finalize_mem has mapped its page already.
        if (!pager.table().lookup(protect.page))
            if (const auto loaded = pager.load_page(protect.page); !loaded)
                return std::unexpected(Refusal{loaded.error(), "protect: loading the page"});
        if (const auto done = pager.table().protect(protect.page, protect.permission); !done)
            return std::unexpected(Refusal{done.error(), "protect: changing the page"});
    }
    return {};
}

/// Makes the VM. The device is armed when it returns successfully.
std::expected<KernelVm, Refusal> make(const VmPlan& plan, const kern::FileSystem& files,
                                      HeldDevice& device, const Backend& backend,
                                      Watcher& watcher) {
    const auto file = files.open(plan.file);
    if (!file) return std::unexpected(Refusal{file.error(), "opening the file in the boot module"});
    auto pager = KernelVmPager::from_image(*file, plan.ram_kib, *backend.format);
    if (!pager) return std::unexpected(pager.error());
    if (const auto mapped = map_devices(**pager, plan); !mapped)
        return std::unexpected(mapped.error());
    auto vm = KernelVm::create(std::move(*pager),
                               {.name = plan.name,
                                .vcpu_count = plan.vcpus,
                                .time_limit_ms = plan.limit_ms,
                                .observer = &watcher,
                                .open_ports = plan.open_ports,
                                .exits = plan.exits,
                                .x2apic = plan.x2apic},
                               {.command_line = plan.args, .at = plan.information});
    if (!vm) return vm;
    if (const auto done = protect_pages(vm->pager(), plan); !done)
        return std::unexpected(done.error());
    if (const auto armed = device.arm(plan, *file, vm->pager().table()); !armed)
        return std::unexpected(
            Refusal{armed.error(), "hold or fail: finding the page in the file"});
    return std::move(*vm);
}

void describe_start(const VmPlan& plan, const KernelVm& vm, VmRecord& record) {
    record.entry = vm.pager().entry().value();
    record.table_root = vm.pager().table().root().value();
    record.table_format = vm->backend().format == &ept_format ? 1 : 0;
    for (unsigned i = 0; i < vm->vcpu_count(); ++i)
        record.vmcb[i] = probe_of(vm->backend()).of(vm->vcpu(i).backend()).control_block.value();
    kprint("{}: entry {}, {} {}, {} KiB\n", plan.name, vm.pager().entry(), plan.vcpus,
           plan.vcpus == 1 ? "vCPU" : "vCPUs", plan.ram_kib);
}

/// Whether the VM was ended at a port that nobody serves.
bool ended_at_a_port(const Vm& vm, const VmResult& result) {
    const ExitHistory& history = vm.vcpu(result.vcpu).history();
    if (history.size() == 0) return false;
    const auto* access = std::get_if<exit::PortAccess>(&history.back(0).reason);
    return access != nullptr && !is_served_port(access->port);
}

void describe_end(const VmPlan& plan, Vm& vm, const VmResult& result, const Watcher& watcher,
                  VmRecord& record) {
    record.exits = vm.exits();
    record.nested_faults = vm.nested_faults();
    const OptionalExitCounts optional = vm.optional_exits();
    record.cr3_writes = optional.cr3_writes;
    record.page_faults = optional.page_faults;
    if (plan.exits.cr3_writes || plan.exits.page_faults)
        kprint("{}: {} writes of CR3 and {} page faults exited\n", plan.name, record.cr3_writes,
               record.page_faults);
    record.status = result.status;
    kern::copy_text(record.reason, result.reason);
    if (result.error) record.error = static_cast<std::uint64_t>(*result.error) + 1;
    if (result.instruction) {
        record.instruction_bytes = result.instruction->count;
        std::ranges::copy(result.instruction->bytes, record.instruction.begin());
    }
    const auto frames = record.ended[frame_owner::guest_memory.index] -
                        record.before[frame_owner::guest_memory.index];
    switch (result.end) {
        case VmResult::End::Exited:
            record.state = VmState::Exited;
            kprint("{}: exited with {} after {} exits, {} lazy faults, {} frames\n", plan.name,
                   result.status, record.exits, record.nested_faults, frames);
            return;
        case VmResult::End::Stopped:
            record.state = VmState::Stopped;
            kprint("{}: stopped after {} ms, {} exits, {} lazy faults, {} frames\n", plan.name,
                   plan.limit_ms, record.exits, record.nested_faults, frames);
            return;
        case VmResult::End::Failed:
            record.state = VmState::Failed;
            if (result.error) record.failed_address = watcher.last_page(result.vcpu).value();
            kprint("{}: failed after {} exits, {} lazy faults, {} frames: {}\n", plan.name,
                   record.exits, record.nested_faults, frames, result.reason);
            if (ended_at_a_port(vm, result) && !plan.open_ports)
                kprint(
                    "{}: a guest may go on at such a port if its line of the plan says "
                    "ports=open\n",
                    plan.name);
            return;
    }
}

}  // namespace

void run_virtual_machine(const VmPlan& plan, const kern::FileSystem& files, HeldDevice& device,
                         const Backend& backend, VmRecord& record) {
    kern::copy_text(record.name, plan.name);
    record.vcpu_count = plan.vcpus;
    record.before = kern::frames().accounts();
    record.state = VmState::Running;
    const std::uint64_t start = kern::arch::nanoseconds();

    Watcher watcher{device};
    auto vm = make(plan, files, device, backend, watcher);
    record.created = kern::frames().accounts();
    const std::uint64_t ready = kern::arch::nanoseconds();
    record.creation_nanoseconds = ready - start;
    if (!vm) {
        record.state = VmState::Refused;
        record.error = static_cast<std::uint64_t>(vm.error().error) + 1;
        std::array<char, 128> buffer;
        const std::string_view words = vm.error().describe(buffer);
        kern::copy_text(record.reason, words);
        record.ended = record.after = record.created;
        kprint("{}: refused: {}: {} ({})\n", plan.name, plan.file, words, vm.error().error);
        return;
    }
    describe_start(plan, *vm, record);
    if (plan.has_memory) kern::frames().fail_from(plan.memory_frames + 1);
    const VmResult result = (*vm)->run();
    kern::frames().fail_from(0);
    record.run_nanoseconds = kern::arch::nanoseconds() - ready;
    record.ended = kern::frames().accounts();
    const auto held = device.disarm();
    record.hold_faults = held.hold_faults;
    record.hold_expired = held.hold_expired;
    record.fills = held.fills;
    record.held_reads = held.held_reads;
    record.failed_reads = held.failed_reads;
    describe_end(plan, **vm, result, watcher, record);
    if (plan.keep) {
        record.kept = 1;
        std::move(*vm).leave_alone();  // its memory is read from outside
    } else {
        *vm = {};
    }
    record.after = kern::frames().accounts();
}

}  // namespace vmm
