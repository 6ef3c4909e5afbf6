// SPDX-License-Identifier: MIT
// gkernel: this project's kernel as a guest. It touches the memory that its command line names and
// tells the host by hypercalls, and the harness by guest_results, what it found there.
#include <array>
#include <atomic>

#include "guest/gkernel/devices.hh"
#include "guest/gkernel/hypercall.hh"
#include "guest/gkernel/memory.hh"
#include "guest/gkernel/options.hh"
#include "guest/gkernel/results.hh"
#include "kern/arch/arch.hh"
#include "kern/boot/boot_info.hh"
#include "kern/lib/print.hh"

extern "C" guest::GuestResults guest_results;
constinit guest::GuestResults guest_results{
    .magic = {'N', 'E', 'S', 'T', 'L', 'I', 'N', 'G', '-', 'G', 'K', 'E', 'R', 'N', '1'}};

namespace guest {

namespace {

using kern::kprint;

constexpr unsigned max_cpus = GuestResults::max_cpus;

/// What all vCPUs do together: each waits for the others, so that all touch at once.
struct Together {
    const Options* options;
    unsigned cpus;
    std::atomic<unsigned> ready_for_race{0};
    std::atomic<unsigned> ready_for_each{0};
    std::atomic<unsigned> done{0};

    static void wait_for_all(std::atomic<unsigned>& counter, unsigned cpus) {
        counter.fetch_add(1);
        while (counter.load() < cpus) kern::arch::relax();
    }

    void run() {
        const unsigned cpu = kern::arch::cpu_index();
        CpuResult& result = guest_results.cpu[cpu];
        result.up = 1;
        if (options->race) {
            wait_for_all(ready_for_race, cpus);
            result.race_digest =
                digest_of_page(options->race->area, options->race->first, options->key);
        }
        if (options->each) {
            wait_for_all(ready_for_each, cpus);
            const std::uint64_t page = options->each->first + cpu * options->each->step;
            result.each_digest = digest_of_page(options->each->area, page, options->key);
        }
        result.timer_interrupts = take_timer_interrupts(options->timer);
        wait_for_all(done, cpus);
    }
};

void run_together(const Options& options, unsigned cpus) {
    static Together together{.options = &options, .cpus = cpus};
    for (unsigned cpu = 1; cpu < cpus; ++cpu)
        while (!kern::arch::start_on(
            cpu, [](void* context) { static_cast<Together*>(context)->run(); }, &together))
            kern::arch::relax();
    together.run();
}

void touch_areas(const Options& options) {
    static constexpr std::array names{"text", "rodata", "data", "bss", "ram"};
    for (std::size_t i = 0; i < options.touches.size(); ++i) {
        const Pages& pages = options.touches[i];
        const AreaResult result = touch(pages, options.key);
        guest_results.areas[i] = result;
        guest_results.area_count = i + 1;
        if (result.wrong_words != 0) guest_results.problems |= problem::wrong_words;
        // The loader and this kernel itself write to RAM; what only the test touches must be zero.
        if (pages.area == Area::Bss && result.not_zero != 0)
            guest_results.problems |= problem::not_zero;
        kprint("{}: {} pages from 0x{:x}, digest {:016x}\n",
               names[static_cast<std::size_t>(pages.area)], result.pages, result.address,
               result.digest);
    }
}

}  // namespace

}  // namespace guest

extern "C" void kernel_main(const kern::BootInfo& boot) {
    using namespace guest;
    guest_results.cpus = kern::arch::cpu_count();
    guest_results.problems = check_memory_map(boot, guest_results.memory_kib);
    guest_results.x2apic = has_x2apic() ? 1 : 0;
    kprint("gkernel: {} {} by {}, {} KiB of memory, entered by {}\n", guest_results.cpus,
           guest_results.cpus == 1 ? "CPU" : "CPUs", has_x2apic() ? "x2APIC" : "xAPIC",
           guest_results.memory_kib, kern::describe(boot.protocol));

    const auto options = parse_options(boot.command_line.view());
    if (!options) {
        kprint("gkernel: I do not understand `{}`\n", options.error());
        guest_results.problems |= problem::bad_option;
        exit_guest(guest_results.problems);
    }
    guest_results.key = options->key;
    if (options->cpus != 0 && options->cpus != guest_results.cpus)
        guest_results.problems |= problem::missing_cpus;

    const unsigned cpus = kern::arch::cpu_count() < max_cpus ? kern::arch::cpu_count() : max_cpus;
    run_together(*options, cpus);
    touch_areas(*options);
    if (options->console != 0)
        guest_results.device_interrupts = take_console_interrupts(options->console);
    if (options->timer != 0)
        kprint("gkernel: each vCPU has slept until its timer, {} times\n", options->timer);
    guest_results.finished = 1;
    kprint("gkernel: done, problems {:x}\n", guest_results.problems);
    exit_guest(guest_results.problems);
}
