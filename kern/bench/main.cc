// SPDX-License-Identifier: MIT
// The benchmark kernel of the process layer: what it costs beside what the processor alone costs,
// in one boot and on one CPU. `nest bench` takes medians of the samples, which are printed as lines
// `bench ROW SIDE VALUE`, in nanoseconds; what the microkernel is compared with, in ticks of the
// time-stamp counter.
#include <array>
#include <cstring>
#include <expected>
#include <string_view>
#include <utility>

#include "kern/arch/arch.hh"
#include "kern/arch/user.hh"
#include "kern/arch/x86_64/registers.hh"
#include "kern/bench/faults.hh"
#include "kern/bench/numbers.h"
#include "kern/boot/boot_info.hh"
#include "kern/elf/elf.hh"
#include "kern/fs/file_system.hh"
#include "kern/lib/panic.hh"
#include "kern/lib/print.hh"
#include "kern/proc/env.hh"

extern "C" void bare_entry();  // bare_entry.S

namespace kern::bench {
namespace {

constexpr unsigned samples = 9;
constexpr std::uint64_t calls = 20'000, switches = 5'000, few_calls = 500, programs = 50;
constexpr unsigned crowd = 200;

template <class T, class E>
T must(std::expected<T, E> result, std::string_view what) {
    check(result.has_value(), what);
    return std::move(*result);
}

void sample(std::string_view row, std::string_view side, std::uint64_t value) {
    kprint("bench {} {} {}\n", row, side, value);
}

/// The program, and how long it said that it took.
class Program {
   public:
    explicit Program(File file) : file_{file} {}

    void start(std::string_view arguments) {
        (void)must(
            start_program(
                FilePeeker{file_},
                {.name = "bench", .arguments = arguments, .on_end = note_end, .context = this}),
            "bench: the program cannot be started");
    }
    /// Runs all that was started. Returns what the last one to exit said.
    std::uint64_t run() {
        run_programs(1, 0);
        return last_status_;
    }
    std::uint64_t run_one(std::string_view arguments) {
        start(arguments);
        return run();
    }

   private:
    static void note_end(void* context, const Env& env) {
        if (env.ending.kind == Ending::Kind::Exited)
            static_cast<Program*>(context)->last_status_ =
                static_cast<std::uint64_t>(env.ending.status);
        else
            check(env.ending.kind != Ending::Kind::Faulted, "bench: the program faulted");
    }
    File file_;
    std::uint64_t last_status_ = 0;
};

std::string_view arguments(std::span<char> buffer, unsigned what, std::uint64_t rounds,
                           std::uint64_t number = 0) {
    return format_text(buffer, "do={} rounds={} call={}", what, rounds, number);
}

/// A system call that does nothing, against SYSCALL and SYSRET alone.
void measure_calls(Program& program) {
    std::array<char, 64> text;
    const auto nothing = std::to_underlying(syscall::Number::nothing);
    for (unsigned i = 0; i < samples; ++i) {
        sample("system-call", "ours",
               program.run_one(arguments(text, BENCH_CALL, calls, nothing)) / calls);
        sample("system-call", "floor",
               program.run_one(arguments(text, BENCH_CALL, calls, BARE_CALL)) / calls);
    }
}

/// Two programs that yield to each other, against a change of CR3 alone.
void measure_switches(Program& program) {
    std::array<char, 64> text;
    const auto yield = std::to_underlying(syscall::Number::yield);
    const auto one = must(AddressSpace::create(), "bench: address space");
    const auto two = must(AddressSpace::create(), "bench: address space");
    for (unsigned i = 0; i < samples; ++i) {
        program.start(arguments(text, BENCH_CALL, switches, yield));
        program.start(arguments(text, BENCH_CALL, switches, yield));
        sample("context-switch", "ours", program.run() / (2 * switches));

        const bool interrupts = arch::disable_interrupts();
        const std::uint64_t begin = arch::nanoseconds();
        for (std::uint64_t n = 0; n < switches; ++n) {
            arch::use_address_space(one->root());
            arch::use_address_space(two->root());
        }
        sample("context-switch", "floor", (arch::nanoseconds() - begin) / (2 * switches));
        arch::use_kernel_address_space();
        arch::restore_interrupts(interrupts);
    }
}

/// What the microkernel is compared with: two programs that yield, there and back, a call that does
/// nothing, and a page fault that the kernel serves.
void measure_for_microkernel(Program& program) {
    std::array<char, 64> text;
    const auto yield = std::to_underlying(syscall::Number::yield);
    const auto nothing = std::to_underlying(syscall::Number::nothing);
    const auto ticks_of = [&](unsigned number, unsigned count) {
        for (unsigned n = 0; n < count; ++n)
            program.start(format_text(text, "do={} rounds={} call={} ticks=1", BENCH_CALL,
                                      few_calls, number));
        return program.run() / few_calls;
    };
    for (unsigned i = 0; i < samples; ++i) {
        sample("message", "yield", ticks_of(yield, 2));
        sample("signal", "nothing", ticks_of(nothing, 1));
        sample("page-fault", "kernel", ticks_of_page_fault());
    }
}

/// How many pages the program has, its stack too.
std::uint64_t pages_of(File file) {
    const FilePeeker peeker{file};
    const auto executable = must(elf::elf_decode(peeker), "bench: the program is no ELF file");
    std::uint64_t pages = 1;
    for (const elf::ProgramHeader& segment : executable.program_headers())
        if (segment.p_type == elf::pt_load)
            pages += (align_up(segment.p_vaddr + segment.p_memsz, page_size) -
                      align_down(segment.p_vaddr, page_size)) /
                     page_size;
    return pages;
}

/// A program that is made and destroyed, against copying as many pages as it has. It does not run:
/// an emulator would translate its code anew each time, and that is no cost of ours.
void measure_programs(Program& program, std::uint64_t pages) {
    auto from = must(Frame::allocate(frame_owner::test), "bench: frame");
    for (unsigned i = 0; i < samples; ++i) {
        const std::uint64_t whole = arch::nanoseconds();
        for (std::uint64_t n = 0; n < programs; ++n) program.start({});
        run_programs(1, 1);  // over the limit at once
        sample("program", "ours", (arch::nanoseconds() - whole) / programs);

        const std::uint64_t begin = arch::nanoseconds();
        for (std::uint64_t n = 0; n < programs * pages; ++n) {
            auto to = must(Frame::allocate(frame_owner::test), "bench: frame");
            std::memcpy(to.bytes().data(), from.bytes().data(), page_size);
        }
        sample("program", "floor", (arch::nanoseconds() - begin) / programs);
    }
}

/// The same among many programs that wait, and alone.
void measure_among_others(Program& program) {
    std::array<char, 64> text;
    const auto nothing = std::to_underlying(syscall::Number::nothing);
    for (unsigned i = 0; i < samples; ++i) {
        for (const auto& [side, others] : {std::pair{"others", crowd}, std::pair{"alone", 0U}}) {
            for (unsigned n = 0; n < others; ++n) program.start("do=3");
            sample("call-among", side,
                   program.run_one(arguments(text, BENCH_CALL, calls, nothing)) / calls);
            for (unsigned n = 0; n < others; ++n) program.start("do=3");
            sample("program-among", side,
                   program.run_one(arguments(text, BENCH_SPAWN, programs)) / programs);
        }
    }
}

/// Touches all free memory once: an emulator's owner gets its pages one by one, and slowly.
void warm_up() {
    constexpr std::uint64_t frames_in_run = 64;
    static std::array<Hpa, 4096> runs;
    std::size_t count = 0;
    while (count < runs.size()) {
        const auto run = frames().allocate_run(frame_owner::test, frames_in_run);
        if (!run) break;
        runs[count++] = *run;
    }
    while (count != 0) frames().free_run(frame_owner::test, runs[--count], frames_in_run);
}

void measure(const BootInfo& boot) {
    check(boot.modules.size() == 1, "bench: one boot module is wanted");
    const MemoryRange module = boot.modules[0].range;
    RamDisk disk{{arch::direct_map(module.begin), module.size()}};
    const auto files = must(FileSystem::mount(disk), "bench: file system");
    set_program_files(&files);
    const File file = must(files.open("bench.elf"), "bench: bench.elf");
    arch::write_msr(arch::x86::msr::lstar, reinterpret_cast<std::uint64_t>(&bare_entry));
    Program program{file};
    if (files.open("microkernel")) {
        measure_for_microkernel(program);
        kprint("bench done\n");
        return;
    }
    warm_up();
    measure_calls(program);
    measure_switches(program);
    measure_programs(program, pages_of(file));
    measure_among_others(program);
    kprint("bench done\n");
}

}  // namespace
}  // namespace kern::bench

extern "C" void kernel_main(const kern::BootInfo& boot) {
    kern::bench::measure(boot);
}
