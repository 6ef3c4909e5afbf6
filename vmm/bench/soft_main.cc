// SPDX-License-Identifier: MIT
// The benchmark kernel of virtualization in software: in one boot, with one clock, what traps cost,
// and the same work of guest/tiny with shadow tables and with nested paging. Its boot module has
// `tiny.elf`, and a file `traps` if those are wanted as well.
#include <cstring>
#include <memory>
#include <new>

#include "kern/boot/boot_info.hh"
#include "vmm/bench/bench.hh"
#include "vmm/bench/soft_bench.hh"
#include "vmm/soft/main/host.hh"
#include "vmm/soft/main/image.hh"

namespace vmm::bench {
namespace {

using soft::Shadows;

/// What one run of tiny came to.
struct TinyRun {
    std::uint64_t status, exits, loads, nanoseconds;
};

TinyRun run_in_ring_3(std::span<const std::byte> image, Shadows::Keeping keeping) {
    const auto copy = std::unique_ptr<std::byte[]>{new (std::nothrow) std::byte[image.size()]};
    const auto memory = made<soft::SoftMemory>();
    kern::check(copy != nullptr, "bench: memory");
    std::memcpy(copy.get(), image.data(), image.size());
    must(memory->create(), "bench: memory");
    const auto host = made<soft::Host>(*memory, keeping);
    must(host->create(), "bench: tables");
    soft::SoftGuest& guest = host->guest();
    const auto entry = soft::load_image({copy.get(), image.size()}, *memory, &guest.sites);
    kern::check(entry.has_value(), "bench: tiny is refused");
    guest.start(*entry);
    kern::check(host->run() == soft::SoftGuest::Next::Exited, guest.reason);
    return {guest.status, guest.counts().traps, host->table_loads(), host->duration()};
}

/// The hypervisor loads no table of the guest's: the guest's own MOV to CR3 does. So they are
/// counted where they exit, in a run that is not timed.
TinyRun run_in_a_vm(kern::File file, const Backend& backend, bool counts_loads) {
    constexpr std::uint64_t ram_kib = 8192;
    const auto vm =
        must(KernelVm::create(
                 make_pager(backend, file, ram_kib),
                 {.name = "tiny", .exits = {.cr3_writes = counts_loads}, .x2apic = false}, {}),
             "bench: VM");
    const Stopwatch whole;
    const VmResult result = vm->run();
    const std::uint64_t taken = whole.elapsed();
    kern::check(result.end == VmResult::End::Exited, "bench: tiny did not exit in its VM");
    return {result.status, vm->exits(), vm->optional_exits().cr3_writes, taken};
}

void print(std::string_view side, const TinyRun& run) {
    sample("tiny-exits", side, run.exits);
    sample("tiny-loads", side, run.loads);
    sample("tiny-time", side, run.nanoseconds);
}

void measure(const kern::BootInfo& boot) {
    kern::check(boot.modules.size() == 1, "bench: one boot module is wanted");
    const kern::MemoryRange module = boot.modules[0].range;
    kern::RamDisk disk{{kern::arch::direct_map(module.begin), module.size()}};
    const auto files = must(kern::FileSystem::mount(disk), "bench: file system");
    const auto backend = find_backend();
    kern::check(backend && Vm::prepare(**backend), "bench: no virtual machines");
    const kern::File tiny = must(files.open("tiny.elf"), "bench: tiny.elf");
    const std::byte* const bytes =
        kern::arch::direct_map(module.begin) + tiny.first_block() * kern::block_size;
    const bool measures_traps = files.open("traps").has_value();
    measure_tiny({bytes, tiny.size()}, tiny, **backend, measures_traps ? samples : 1);
    if (measures_traps) measure_traps();
    kern::kprint("bench done\n");
}

}  // namespace

void measure_tiny(std::span<const std::byte> image, kern::File file, const Backend& backend,
                  unsigned times) {
    const TinyRun counted = run_in_a_vm(file, backend, true);
    for (unsigned i = 0; i < times; ++i) {
        const TinyRun on_demand = run_in_ring_3(image, Shadows::Keeping::OnDemand);
        const TinyRun traced = run_in_ring_3(image, Shadows::Keeping::Traced);
        TinyRun nested = run_in_a_vm(file, backend, false);
        kern::check(on_demand.status == counted.status && traced.status == counted.status &&
                        nested.status == counted.status,
                    "bench: tiny has not done the same everywhere");
        nested.loads = counted.loads;
        print("on-demand", on_demand);
        print("traced", traced);
        print("nested", nested);
    }
}

}  // namespace vmm::bench

extern "C" void kernel_main(const kern::BootInfo& boot) {
    vmm::bench::measure(boot);
}
