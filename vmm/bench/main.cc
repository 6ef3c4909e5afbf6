// SPDX-License-Identifier: MIT
// The benchmark kernel: measures what the hypervisor costs beside what the hardware alone costs, in
// one boot. `nest bench` makes its boot module, boots it, and takes medians of the samples, which
// are printed as lines `bench ROW SIDE VALUE`: nanoseconds, or frames where the row says so. Only
// that is measured for which the module has a file.
#include <array>
#include <cstring>
#include <expected>
#include <memory>
#include <string_view>
#include <tuple>

#include "kern/arch/arch.hh"
#include "kern/boot/boot_info.hh"
#include "kern/fs/file_system.hh"
#include "kern/lib/panic.hh"
#include "kern/lib/print.hh"
#include "kern/mm/frame_allocator.hh"
#include "vmm/backend.hh"
#include "vmm/bench/bench.hh"
#include "vmm/bench/guests.hh"
#include "vmm/frame_owners.hh"
#include "vmm/pager/kernel_vm_pager.hh"
#include "vmm/probe.hh"
#include "vmm/vm.hh"

namespace vmm::bench {
namespace {

using kern::kprint;

constexpr std::uint64_t round_trips = 4000;
constexpr std::uint64_t guest_ram_kib = 64 * 1024;

/// This machine's.
const Backend* backend = nullptr;

/// A vCPU that has run up to its first exit behind its first page, on this CPU, ready for bare_run.
std::unique_ptr<VcpuBackend> started_vcpu(KernelVmPager& pager) {
    auto vcpu = must(backend->create_vcpu(pager), "bench: vCPU");
    vcpu->start_protected_mode(pager.entry(), 0, 0);
    must(pager.load_page(pager.entry().page()), "bench: first page");
    vcpu->enter_cpu();
    const Exit exit = vcpu->run();
    kern::check(!std::holds_alternative<exit::EntryFailure>(exit.reason), "bench: entry failure");
    return vcpu;
}

/// A hypercall that does nothing, against a guest that is entered by nothing but the instruction
/// and exits at once.
void measure_hypercall(kern::File marks) {
    const std::string_view row = backend == &svm_backend ? "vmmcall" : "vmcall";
    // Instructions, where the machine's time-stamp counter counts those.
    const std::string_view ticks = backend == &svm_backend ? "vmmcall-ticks" : "vmcall-ticks";
    for (unsigned i = 0; i < samples; ++i) {
        const auto vm = make_vm(make_pager(*backend, marks, guest_ram_kib));
        timed(guest_marks);
        const Stopwatch whole;
        std::uint64_t begin = kern::arch::timestamp();
        run_to_exit(*vm);
        std::uint64_t end = kern::arch::timestamp();
        sample(row, "ours", whole.elapsed() / guest_marks);
        sample(ticks, "ours", (end - begin) / guest_marks);

        const auto pager = make_pager(*backend, marks, guest_ram_kib);
        const auto vcpu = started_vcpu(*pager);
        const bool interrupts = kern::arch::disable_interrupts();
        timed(round_trips);
        const Stopwatch bare;
        begin = kern::arch::timestamp();
        probe_of(*backend).bare_loop(*vcpu, round_trips);
        end = kern::arch::timestamp();
        sample(row, "floor", bare.elapsed() / round_trips);
        sample(ticks, "floor", (end - begin) / round_trips);
        kern::arch::restore_interrupts(interrupts);
        vcpu->leave_cpu();
    }
}

/// A load from a device in memory, which has to be decoded, against an IN, which has not.
void measure_device_access(kern::File memory, kern::File ports) {
    for (unsigned i = 0; i < samples; ++i) {
        for (const auto& [side, guest] : {std::pair{"memory", memory}, std::pair{"port", ports}}) {
            const auto vm = make_vm(make_pager(*backend, guest, guest_ram_kib));
            const Stopwatch whole;
            run_to_exit(*vm);
            sample("device-access", side, whole.elapsed() / guest_accesses);
        }
    }
}

/// 4 KiB to a port that discards: REP OUTS against as many OUTs.
void measure_port_string(kern::File string, kern::File bytes) {
    for (unsigned i = 0; i < samples; ++i) {
        for (const auto& [side, guest, times] :
             {std::tuple{"string", string, guest_strings}, std::tuple{"bytes", bytes, 1UL}}) {
            const auto vm = make_vm(make_pager(*backend, guest, guest_ram_kib));
            const Stopwatch whole;
            run_to_exit(*vm);
            sample("port-string", side, whole.elapsed() / times);
        }
    }
}

/// CPUID, which asks a policy, against the bare loop of the hypercalls.
void measure_cpuid(kern::File cpuids, kern::File marks) {
    for (unsigned i = 0; i < samples; ++i) {
        const auto vm = make_vm(make_pager(*backend, cpuids, guest_ram_kib));
        const Stopwatch whole;
        run_to_exit(*vm);
        sample("cpuid", "ours", whole.elapsed() / guest_cpuids);

        const auto pager = make_pager(*backend, marks, guest_ram_kib);
        const auto vcpu = started_vcpu(*pager);
        const bool interrupts = kern::arch::disable_interrupts();
        const Stopwatch bare;
        probe_of(*backend).bare_loop(*vcpu, round_trips);
        sample("cpuid", "floor", bare.elapsed() / round_trips);
        kern::arch::restore_interrupts(interrupts);
        vcpu->leave_cpu();
    }
}

/// A page that comes lazily from the file, against a nested fault served by a page copy and one
/// store of an entry.
void measure_lazy_fault(kern::File pages, const std::byte* page_bytes) {
    for (unsigned i = 0; i < samples; ++i) {
        const auto vm = make_vm(make_pager(*backend, pages, guest_ram_kib));
        const Stopwatch whole;
        run_to_exit(*vm);
        sample("lazy-fault", "ours", whole.elapsed() / touched_pages);

        const auto pager = make_pager(*backend, pages, guest_ram_kib);
        std::array<std::uint64_t*, touched_pages> entries{};
        for (std::uint64_t page = 0; page < touched_pages; ++page)
            entries[page] =
                must(pager->table().entry(touched_begin + page * page_size), "bench: entry");
        const Hpa frames = must(
            kern::frames().allocate_run(frame_owner::guest_memory, touched_pages), "bench: frames");
        const auto vcpu = started_vcpu(*pager);
        const bool interrupts = kern::arch::disable_interrupts();
        const Stopwatch bare;
        // The first fault was taken by started_vcpu: its page stands first in line.
        for (std::uint64_t page = 0; page < touched_pages; ++page) {
            const Hpa frame = frames + page * page_size;
            std::memcpy(kern::arch::direct_map(frame), page_bytes + page * page_size, page_size);
            std::atomic_ref{*entries[page]}.store(
                backend->format->leaf(frame, read_write_execute, 1));
            const bool faulted = probe_of(*backend).bare_run(*vcpu);
            kern::check(faulted == (page + 1 < touched_pages), "bench: lost a fault");
        }
        sample("lazy-fault", "floor", bare.elapsed() / touched_pages);
        kern::arch::restore_interrupts(interrupts);
        vcpu->leave_cpu();
    }
}

/// From nothing to the guest's first instruction (which exits).
void measure_start(kern::File image, std::string_view size) {
    for (unsigned i = 0; i < samples; ++i) {
        const std::uint64_t before = kern::frames().in_use();
        const Stopwatch lazy;
        const auto vm = make_vm(make_pager(*backend, image, 512 * 1024));
        run_to_exit(*vm);
        sample("start", size, lazy.elapsed());
        sample("start-frames", size, kern::frames().in_use() - before);
    }
    const std::uint64_t before = kern::frames().in_use();
    const Stopwatch eager;
    auto pager = make_pager(*backend, image, 512 * 1024);
    (void)load_eagerly(*pager);
    const auto vm = make_vm(std::move(pager));
    run_to_exit(*vm);
    kprint("bench start-eager {} {}\n", size, eager.elapsed());
    kprint("bench start-eager-frames {} {}\n", size, kern::frames().in_use() - before);
}

void measure_registration(kern::File image) {
    for (unsigned i = 0; i < samples * 3; ++i) {
        for (const auto& [side, kib] :
             {std::pair{"64MiB", 64ULL << 10}, std::pair{"64GiB", 64ULL << 20}}) {
            const Stopwatch time;
            const auto pager = make_pager(*backend, image, kib);
            sample("register-ram", side, time.elapsed());
        }
    }
}

void measure(const kern::BootInfo& boot) {
    kern::check(boot.modules.size() == 1, "bench: one boot module is wanted");
    const kern::MemoryRange module = boot.modules[0].range;
    kern::RamDisk disk{{kern::arch::direct_map(module.begin), module.size()}};
    const auto files = must(kern::FileSystem::mount(disk), "bench: file system");
    const auto open = [&](std::string_view name) { return must(files.open(name), name); };

    const auto found = find_backend();
    const std::expected<void, const char*> ready =
        found ? Vm::prepare(**found) : std::unexpected{found.error()};
    if (!ready) {
        kprint("no virtual machines: {}\n", ready.error());
        kern::arch::power_off(1);
    }
    backend = *found;
    const auto found_file = [&](std::string_view name) { return files.open(name).has_value(); };
    measure_hypercall(open("marks.elf"));
    if (found_file("memory.elf")) measure_device_access(open("memory.elf"), open("ports.elf"));
    if (found_file("string.elf")) measure_port_string(open("string.elf"), open("bytes.elf"));
    if (found_file("cpuid.elf")) measure_cpuid(open("cpuid.elf"), open("marks.elf"));
    if (found_file("touch.elf")) {
        const kern::File pages = open("touch.elf");
        // The touched segment is the last thing in its file (grader/bench/guests.py).
        const std::byte* page_bytes = kern::arch::direct_map(module.begin) +
                                      pages.first_block() * kern::block_size + pages.size() -
                                      touched_pages * page_size;
        measure_lazy_fault(pages, page_bytes);
        measure_loading(*backend, files, pages, open("load.elf"));
    }
    if (found_file("small.elf")) {
        measure_registration(open("small.elf"));
        measure_start(open("small.elf"), "1MiB");
    }
    if (found_file("large.elf")) measure_start(open("large.elf"), "256MiB");
    kprint("bench done\n");
}

}  // namespace
}  // namespace vmm::bench

extern "C" void kernel_main(const kern::BootInfo& boot) {
    vmm::bench::measure(boot);
}
