// SPDX-License-Identifier: MIT
#include "kern/arch/arch.hh"

#include <sched.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "kern/arch/host/machine.hh"
#include "kern/lib/panic.hh"
#include "kern/lib/print.hh"

namespace kern::arch {
namespace {

using fake::machine;

constexpr unsigned no_cpu = ~0U;
thread_local unsigned this_cpu = no_cpu;
thread_local bool interrupt_flag = true;

std::uint32_t read_port(std::uint16_t port) {
    std::unique_lock lock{machine().lock};
    const auto found = machine().ports.find(port);
    if (found == machine().ports.end()) return ~0U;
    if (!found->second.on_read) return found->second.value;
    const auto answer = found->second.on_read;
    lock.unlock();
    return answer();
}

void write_port(std::uint16_t port, std::uint8_t bytes, std::uint32_t value) {
    std::unique_lock lock{machine().lock};
    fake::record_port_write({port, bytes, value});
    const auto found = machine().ports.find(port);
    if (found == machine().ports.end() || !found->second.on_write) return;
    const auto effect = found->second.on_write;
    lock.unlock();
    effect(value);
}

void write_to_stderr(std::string_view text) {
    while (!text.empty()) {
        const auto written = ::write(STDERR_FILENO, text.data(), text.size());
        if (written <= 0) return;
        text.remove_prefix(static_cast<std::size_t>(written));
    }
}

/// With machine().lock held.
void interrupt(unsigned cpu) {
    machine().cpus.at(cpu).interrupt_pending = true;
    machine().cpus.at(cpu).interrupted.notify_all();
}

}  // namespace

namespace fake {

void enter_cpu(unsigned cpu) {
    check(cpu < max_cpus, "enter_cpu: there is no such CPU");
    this_cpu = cpu;
    interrupt_flag = true;
}

bool interrupts_enabled() {
    return interrupt_flag;
}

}  // namespace fake

CpuidResult cpuid(std::uint32_t leaf, std::uint32_t subleaf) {
    const std::lock_guard guard{machine().lock};
    const auto found = machine().cpuid.find({leaf, subleaf});
    return found != machine().cpuid.end() ? found->second : CpuidResult{};
}

std::uint64_t read_msr(std::uint32_t msr) {
    return fake::msr(msr, cpu_index());
}

void write_msr(std::uint32_t msr, std::uint64_t value) {
    static_cast<void>(fake::msr(msr, cpu_index()));  // it must exist
    std::unique_lock lock{machine().lock};
    machine().cpus.at(cpu_index()).msrs[msr] = value;
    const auto found = machine().on_msr_write.find(msr);
    if (found == machine().on_msr_write.end()) return;
    const auto effect = found->second;
    lock.unlock();
    effect(value);
}

std::uint8_t in8(std::uint16_t port) {
    return static_cast<std::uint8_t>(read_port(port));
}
void out8(std::uint16_t port, std::uint8_t value) {
    write_port(port, 1, value);
}
std::uint32_t in32(std::uint16_t port) {
    return read_port(port);
}
void out32(std::uint16_t port, std::uint32_t value) {
    write_port(port, 4, value);
}

std::byte* direct_map(Hpa address) {
    if (!fake::is_memory(address)) [[unlikely]] {
        std::array<char, 120> buffer;
        panic(format_text(buffer, "direct_map({}): the fake machine has memory from {} to {} only",
                          address, fake::arena_begin, fake::arena_end()));
    }
    return machine().arena.begin() + (address - fake::arena_begin);
}

Hpa physical_address(const void* in_direct_map) {
    const auto offset = reinterpret_cast<std::uintptr_t>(in_direct_map) -
                        reinterpret_cast<std::uintptr_t>(machine().arena.begin());
    check(offset < machine().arena.size(), "physical_address: not a pointer into the direct map");
    return fake::arena_begin + offset;
}

unsigned cpu_index() {
    if (this_cpu == no_cpu) [[unlikely]] {
        // The process's first thread is CPU 0. Two threads with one number would share its locks.
        const bool is_first_thread = ::gettid() == ::getpid();
        this_cpu = 0;
        check(is_first_thread, "this thread has not called kern::arch::fake::enter_cpu");
    }
    return this_cpu;
}

unsigned cpu_count() {
    return machine().cpu_count;
}

void relax() {
    machine().cpus[cpu_index()].relaxes.fetch_add(1, std::memory_order_relaxed);
    ::sched_yield();
}

bool disable_interrupts() {
    const bool were_enabled = interrupt_flag;
    interrupt_flag = false;
    return were_enabled;
}

void restore_interrupts(bool enabled) {
    interrupt_flag = enabled;
}

std::uint64_t timestamp() {
    return machine().timestamp.fetch_add(machine().timestamp_step.load(std::memory_order_relaxed),
                                         std::memory_order_relaxed);
}
std::uint64_t timestamp_rate() {
    return 1'000'000'000;
}
std::uint64_t nanoseconds() {
    return timestamp();
}

bool start_on(unsigned cpu, void (*work)(void*), void* context) {
    if (cpu == 0 || cpu == cpu_index() || cpu >= cpu_count()) return false;
    fake::Cpu& target = machine().cpus.at(cpu);
    if (!target.idle.exchange(false)) return false;
    if (target.thread.joinable()) target.thread.join();
    target.thread = std::thread{[cpu, work, context, &target] {
        fake::enter_cpu(cpu);
        work(context);
        target.idle = true;
    }};
    return true;
}

bool is_idle(unsigned cpu) {
    return machine().cpus.at(cpu).idle;
}

void interrupt_and_wait(std::uint64_t cpus) {
    std::unique_lock lock{machine().lock};
    fake::record_shootdown(cpus);
    for (unsigned cpu = 0; cpu < max_cpus; ++cpu) {
        if ((cpus >> cpu & 1) != 0 && cpu != this_cpu) interrupt(cpu);
    }
    const auto effect = machine().on_interrupt_and_wait;
    lock.unlock();
    if (effect) effect(cpus);
}

void kick(unsigned cpu) {
    const std::lock_guard guard{machine().lock};
    ++machine().cpus.at(cpu).kicks;
    interrupt(cpu);
}

void wait_for_interrupt() {
    check(!interrupt_flag, "wait_for_interrupt: interrupts must be disabled");
    std::unique_lock lock{machine().lock};
    fake::Cpu& self = machine().cpus.at(cpu_index());
    if (!self.interrupt_pending && self.timer_deadline != 0) {  // time passes while it sleeps
        if (machine().timestamp < self.timer_deadline) machine().timestamp = self.timer_deadline;
        self.timer_deadline = 0;
        return;
    }
    self.interrupted.wait(lock, [&self] { return self.interrupt_pending; });
    self.interrupt_pending = false;
}

void set_timer(std::uint64_t nanoseconds) {
    const std::lock_guard guard{machine().lock};
    machine().cpus.at(cpu_index()).timer_deadline =
        nanoseconds != 0 ? machine().timestamp + nanoseconds : 0;
}

void console_write(std::string_view text) {
    {
        const std::lock_guard guard{machine().lock};
        machine().console += text;
    }
    write_to_stderr(text);
}

void power_off(unsigned status) {
    std::fflush(nullptr);
    ::_exit(static_cast<int>(status));
}

void die(std::string_view message, std::string_view file, unsigned line) {
    // Straight to stderr: the machine may be what is broken.
    std::array<char, 512> buffer;
    write_to_stderr(format_text(buffer, "panic: {}\n  at {}:{}\n", message, file, line));
    std::abort();
}

}  // namespace kern::arch
