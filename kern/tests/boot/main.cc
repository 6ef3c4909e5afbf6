// SPDX-License-Identifier: MIT
// A kernel that tries out the machine under it and says what it found. kern/tests/test_boot.py
// boots it, and gives on the command line what to provoke: "provoke=NAME".
#include <array>
#include <atomic>
#include <cstdint>

#include "kern/arch/arch.hh"
#include "kern/arch/x86.hh"
#include "kern/arch/x86_64/clock.hh"
#include "kern/boot/boot_info.hh"
#include "kern/lib/panic.hh"
#include "kern/lib/print.hh"
#include "kern/mm/frame_allocator.hh"
#include "kern/sync/spin_lock.hh"

namespace {

using namespace kern;

struct Constructed {
    Constructed() : value{arch::cpu_index() + 42} {}
    unsigned value;
};
[[gnu::used]] Constructed constructed;

void print_boot(const BootInfo& boot) {
    kprint("command line: {}\n", boot.command_line.view());
    for (const MemoryRange& range : boot.usable)
        kprint("usable {} to {}\n", range.begin, range.end);
    for (const BootModule& module : boot.modules) {
        const auto* bytes = reinterpret_cast<const char*>(arch::direct_map(module.range.begin));
        kprint("module of {} bytes: {}\n", module.range.size(),
               std::string_view{bytes, std::min<std::size_t>(module.range.size(), 32)});
    }
    kprint("frames: {} available, {} in use\n", frames().available(), frames().in_use());
}

std::atomic<unsigned> answers{0};

void work_on_cpu(void* context) {
    const auto expected = static_cast<unsigned>(reinterpret_cast<std::uintptr_t>(context));
    check(arch::cpu_index() == expected, "work runs on another CPU than asked");
    auto frame = Frame::allocate(frame_owner::test);
    check(frame.has_value(), "no frame for a CPU");
    kprint("work runs on CPU {}\n", arch::cpu_index());
    answers.fetch_add(1);
}

void try_cpus() {
    const unsigned count = arch::cpu_count();
    kprint("CPUs: {}\n", count);
    for (unsigned cpu = 1; cpu < count; ++cpu)
        check(arch::start_on(cpu, work_on_cpu, reinterpret_cast<void*>(std::uintptr_t{cpu})),
              "an idle CPU takes no work");
    while (answers.load() < count - 1) arch::relax();
    for (unsigned cpu = 1; cpu < count; ++cpu)
        while (!arch::is_idle(cpu)) arch::relax();
    check(!arch::start_on(0, work_on_cpu, nullptr), "CPU 0 takes work");
    check(!arch::start_on(count, work_on_cpu, nullptr), "a CPU that is not there takes work");

    // Everybody interrupts everybody, with interrupts disabled: nobody may wait for ever.
    answers.store(0);
    const auto ping = [](void*) {
        const bool enabled = arch::disable_interrupts();
        for (unsigned i = 0; i < 50; ++i) arch::interrupt_and_wait(~0ULL);
        arch::restore_interrupts(enabled);
        answers.fetch_add(1);
    };
    for (unsigned cpu = 1; cpu < count; ++cpu)
        check(arch::start_on(cpu, ping, nullptr), "an idle CPU takes no work");
    ping(nullptr);
    while (answers.load() < count) arch::relax();
    kprint("interrupts between CPUs: ok\n");
}

SpinLock counter_lock;
std::uint64_t counter = 0;

void try_locks() {
    const unsigned count = arch::cpu_count();
    answers.store(0);
    const auto add = [](void*) {
        for (unsigned i = 0; i < 1000; ++i) {
            const LockGuard guard{counter_lock};
            counter = counter + 1;
        }
        answers.fetch_add(1);
    };
    for (unsigned cpu = 1; cpu < count; ++cpu) {
        while (!arch::is_idle(cpu)) arch::relax();
        arch::start_on(cpu, add, nullptr);
    }
    add(nullptr);
    while (answers.load() < count) arch::relax();
    kprint("counted under a lock: {} of {}\n", counter, 1000 * count);
}

constexpr unsigned request_rounds = 50;
std::atomic<unsigned> round_now{0};

/// One CPU's part of try_requests.
void request_and_sleep(void*) {
    const unsigned count = arch::cpu_count();
    for (unsigned round = 0; round < request_rounds; ++round) {
        arch::interrupt_and_wait(~0ULL);
        {
            const LockGuard guard{counter_lock};
            arch::interrupt_and_wait(~0ULL);
        }
        arch::interrupt_and_wait(~0ULL);
        const bool enabled = arch::disable_interrupts();
        if (answers.fetch_add(1) + 1 == count) {
            answers.store(0);
            round_now.store(round + 1);
            for (unsigned cpu = 0; cpu < count; ++cpu) arch::kick(cpu);
        }
        while (round_now.load() <= round) arch::wait_for_interrupt();
        arch::restore_interrupts(enabled);
    }
}

/// Everybody interrupts everybody, also while holding a lock that the others want, and then sleeps
/// until the last has done so. Who sleeps looks at nothing anew: an answer that was lost stays
/// lost, and nobody wakes.
void try_requests() {
    answers.store(0);
    for (unsigned cpu = 1; cpu < arch::cpu_count(); ++cpu) {
        while (!arch::is_idle(cpu)) arch::relax();
        arch::start_on(cpu, request_and_sleep, nullptr);
    }
    request_and_sleep(nullptr);
    kprint("rounds of requests: {}\n", round_now.load());
}

void try_timer() {
    constexpr std::uint64_t wanted = 2'000'000;
    const bool enabled = arch::disable_interrupts();
    const std::uint64_t begin = arch::nanoseconds();
    arch::set_timer(wanted);
    arch::wait_for_interrupt();
    const std::uint64_t passed = arch::nanoseconds() - begin;
    arch::restore_interrupts(enabled);
    // Two clocks that were measured apart agree to 10 %; there is no upper bound on a busy machine.
    kprint("timer: {}\n", passed >= wanted - wanted / 10 ? "ok" : "too early");
    kprint("timer: {} us of {}, TSC {} kHz\n", passed / 1000, wanted / 1000,
           arch::timestamp_rate() / 1000);
}

/// Measures the clocks' rates once more, held up until the PIT has run out, as on a busy host.
void try_late_measurement() {
    const std::uint64_t rate = arch::timestamp_rate();
    const bool enabled = arch::disable_interrupts();
    arch::clock::begin_measurement();
    const std::uint64_t begin = arch::timestamp();
    while (arch::timestamp() - begin < rate / 12) arch::relax();  // the PIT has 55 ms, this is 83
    arch::clock::finish_measurement();
    arch::restore_interrupts(enabled);
    // A PIT that has begun anew makes each rate at least twice what it is.
    const std::uint64_t again = arch::timestamp_rate();
    kprint("late measurement: {}, {} kHz and {} kHz\n",
           again > rate / 3 * 2 && rate > again / 3 * 2 ? "ok" : "wrong", rate / 1000,
           again / 1000);
}

/// A number about which the compiler knows nothing, so that it believes in what is provoked with
/// it.
std::uintptr_t opaque(std::uintptr_t value) {
    asm volatile("" : "+r"(value));
    return value;
}

/// It is there to run out of stack.
[[gnu::noinline]] std::uint64_t recurse(std::uint64_t depth) {
    std::array<volatile std::uint64_t, 64> local;
    local[depth % local.size()] = depth;
    if (opaque(0) != 0) return 0;
    return recurse(depth + 1) + local[(depth + 1) % local.size()];
}

[[gnu::noinline]] void provoke(std::string_view what) {
    if (what == "null") {
        *reinterpret_cast<volatile int*>(opaque(8)) = 1;
    } else if (what == "read-only") {
        // The text is mapped without the right to write.
        *reinterpret_cast<volatile char*>(opaque(reinterpret_cast<std::uintptr_t>(&provoke))) = 0;
    } else if (what == "constant") {
        static const int constant = 5;
        *reinterpret_cast<volatile int*>(opaque(reinterpret_cast<std::uintptr_t>(&constant))) = 6;
    } else if (what == "fetch") {
        reinterpret_cast<void (*)()>(arch::direct_map(Hpa{0x20'0000}))();
    } else if (what == "identity") {
        (void)*reinterpret_cast<volatile int*>(opaque(0x10'0000));
    } else if (what == "stack") {
        kprint("{}\n", recurse(0));
    } else if (what == "ap-stack") {
        arch::start_on(1, [](void*) { kprint("{}\n", recurse(0)); }, nullptr);
        while (true) arch::relax();
    } else if (what == "gs") {
        // As if a guest's, or a program's, had been left in it: nothing is there.
        arch::start_on(
            1,
            [](void*) {
                arch::write_msr(arch::x86::msr::gs_base, 0xffff'a000'0000'0000);
                __builtin_trap();
            },
            nullptr);
        while (true) arch::relax();
    } else if (what == "divide") {
        kprint("{}\n", 100 / opaque(0));
    } else if (what == "ud2") {
        __builtin_trap();
    } else if (what == "deadlock") {
        counter_lock.lock();
        counter_lock.lock();
    } else if (what == "panic") {
        panic("as asked");
    } else {
        kprint("nothing is known of {}\n", what);
    }
}

}  // namespace

void kernel_main(const BootInfo& boot) {
    constexpr std::string_view option = "provoke=";
    const std::string_view line = boot.command_line.view();
    const std::size_t at = line.find(option);
    if (at != std::string_view::npos) {
        provoke(line.substr(at + option.size()));
        return;
    }
    if (line == "requests") {
        try_requests();
        return;
    }
    print_boot(boot);
    kprint("constructed: {}\n", constructed.value);
    try_cpus();
    try_locks();
    try_timer();
    try_late_measurement();
    const auto accounts = frames().accounts();
    kprint("frames on account of test: {}\n", accounts[frame_owner::test.index]);
    kprint("all done\n");
}
