// SPDX-License-Identifier: MIT
// Who runs on which CPU. The kernel has one stack a CPU and runs to completion: a trap copies the
// program's registers into its environment, something is done, and at the end the CPU enters some
// environment anew. Nothing ever sleeps inside the kernel.
#include <algorithm>
#include <array>

#include "kern/arch/user.hh"
#include "kern/arch/vectors.hh"
#include "kern/lib/panic.hh"
#include "kern/lib/print.hh"
#include "kern/proc/environments.hh"

namespace kern {
namespace {

constexpr std::uint64_t time_slice = 5'000'000;  // ns

/// When run_programs' limit is reached, in nanoseconds since boot; 0: never.
std::uint64_t deadline = 0;
/// It has been reached: every CPU ends what it runs.
bool limit_reached = false;

/// An interrupt is made pending before a program is entered; see run_programs.
bool interrupts_entries = false;

/// CPUs whose timer still runs from an earlier time slice: bit n is CPU n. Who comes to a CPU
/// before it is over has the rest of it: to set the timer anew at every switch would cost as much
/// as all else together.
std::uint64_t slices_running = 0;

void begin_slice() {
    const std::uint64_t self = 1ULL << arch::cpu_index();
    if ((slices_running & self) != 0) return;
    slices_running |= self;
    arch::set_timer(time_slice);
}
void end_slice() {
    slices_running &= ~(1ULL << arch::cpu_index());
}

FpuState& fpu_of(Env& env) {
    return *env.fpu;  // NOLINT(bugprone-unchecked-optional-access): whoever may run has one
}

/// Enters the program, without the lock.
[[noreturn]] void enter(const Env& env) {
    // A kick has brought us here: the program is to get on.
    const bool is_kicked = env.frame.vector == arch::vector::kick;
    if (interrupts_entries && !is_kicked) arch::kick(arch::cpu_index());
    arch::enter_user(&env.frame);
}

/// Takes this CPU from the environment that has it, if any: its FPU registers go home.
void leave_current() {
    Env*& current = environments.current();
    if (current == nullptr) return;
    fpu_of(*current).save();
    arch::use_kernel_address_space();
    current = nullptr;
}

/// Gives this CPU to `env`, and the lock back.
[[noreturn]] void run(Env& env) {
    Env*& current = environments.current();
    if (current != &env) {
        if (current != nullptr) fpu_of(*current).save();
        arch::use_address_space(env.space->root());
        fpu_of(env).load();
        current = &env;
        ++env.switches;
    }
    env.state = Env::State::Running;
    ++environments.running;
    begin_slice();
    environments.lock.unlock();
    enter(env);
}

/// Gives this CPU to `env`, which has a runner, for a slice.
void run_runner(Env& env) {
    leave_current();
    end_slice();  // the runner may use the timer
    ++env.switches;
    env.state = Env::State::Running;
    ++environments.running;
    environments.lock.unlock();
    std::uint64_t slice_end = arch::nanoseconds() + time_slice;
    if (deadline != 0) slice_end = std::min(slice_end, deadline);
    const auto ending = env.runner->run(env, slice_end);
    environments.lock.lock();
    if (ending) {
        environments.end(env, *ending);
        return;
    }
    --environments.running;
    environments.make_runnable(env);
}

/// All environments have ended: this CPU has nothing to do here any more.
[[noreturn]] void leave() {
    leave_current();
    for (unsigned cpu = 0; cpu < arch::cpu_count(); ++cpu)
        if ((environments.idle_cpus >> cpu & 1) != 0) arch::kick(cpu);
    environments.idle_cpus = 0;
    end_slice();
    environments.lock.unlock();
    arch::set_timer(0);
    arch::leave_user_mode();
}

void wait() {
    const std::uint64_t self = 1ULL << arch::cpu_index();
    environments.idle_cpus |= self;
    end_slice();
    environments.lock.unlock();
    const std::uint64_t now = arch::nanoseconds();
    arch::set_timer(deadline == 0 ? 0 : deadline > now ? deadline - now : 1);
    arch::wait_for_interrupt();
    environments.lock.lock();
    environments.idle_cpus &= ~self;
}

void look_at_the_clock() {
    if (deadline == 0 || limit_reached || arch::nanoseconds() < deadline) return;
    limit_reached = true;
    environments.end_waiting(Ending::Kind::LimitReached);
    for (unsigned cpu = 0; cpu < arch::cpu_count(); ++cpu)
        if (cpu != arch::cpu_index()) arch::kick(cpu);
}

/// Finds something to do for this CPU, with the lock held. The environment that had it, if it is
/// still current, is Runnable and in the queue, Receiving or Waiting.
[[noreturn]] void schedule() {
    while (true) {
        look_at_the_clock();
        if (limit_reached) environments.end_waiting(Ending::Kind::LimitReached);
        if (environments.living() == 0) leave();
        if (Env* const next = environments.take_runnable()) {
            if (next->runner == nullptr) run(*next);
            run_runner(*next);
            continue;
        }
        leave_current();
        if (environments.running == 0 && !environments.has_runnable()) {
            // All wait for a message, and who could send one?
            environments.end_stuck();
            continue;
        }
        wait();
    }
}

/// Goes on with the environment that has this CPU, as it was before the trap.
[[noreturn]] void resume(const Env& env) {
    environments.lock.unlock();
    enter(env);
}

[[noreturn]] void end_current(Env& env, const Ending& ending) {
    environments.end(env, ending);
    schedule();
}

void report_fault(const Env& env, std::uint64_t address) {
    const arch::TrapFrame& f = env.frame;
    std::array<char, 192> buffer;
    kprint("{} (environment {}) ends: {}\n", env.name.view(), env.id,
           arch::describe_exception(buffer, f.vector, f.error_code, address));
    kprint("rip {:016x} rsp {:016x} rflags {:08x} cr2 {:016x}\n", f.rip, f.rsp, f.rflags, address);
    kprint("rax {:016x} rbx {:016x} rcx {:016x} rdx {:016x}\n", f.rax, f.rbx, f.rcx, f.rdx);
    kprint("rsi {:016x} rdi {:016x} rbp {:016x} r8  {:016x}\n", f.rsi, f.rdi, f.rbp, f.r8);
    kprint("r9  {:016x} r10 {:016x} r11 {:016x} r12 {:016x}\n", f.r9, f.r10, f.r11, f.r12);
    kprint("r13 {:016x} r14 {:016x} r15 {:016x}\n", f.r13, f.r14, f.r15);
}

[[noreturn]] void fault(Env& env) {
    const arch::TrapFrame& frame = env.frame;
    const std::uint64_t address =
        frame.vector == arch::vector::page_fault ? arch::fault_address() : 0;
    report_fault(env, address);
    end_current(env, {.kind = Ending::Kind::Faulted,
                      .vector = frame.vector,
                      .error_code = frame.error_code,
                      .cr2 = address,
                      .rip = frame.rip});
}

/// The time slice of `env` is over.
[[noreturn]] void preempt(Env& env) {
    ++env.preemptions;
    end_slice();
    look_at_the_clock();
    if (limit_reached) end_current(env, {.kind = Ending::Kind::LimitReached, .rip = env.frame.rip});
    if (!environments.has_runnable()) {
        begin_slice();
        resume(env);
    }
    --environments.running;
    environments.make_runnable(env);
    schedule();
}

/// Every trap out of ring 3 comes here, on an empty stack, with interrupts disabled.
void on_trap(const arch::TrapFrame& frame) {
    environments.lock.lock();
    Env* const env = environments.current();
    check(env != nullptr, "a trap from ring 3, and nobody runs there");
    env->frame = frame;
    if (limit_reached) end_current(*env, {.kind = Ending::Kind::LimitReached, .rip = frame.rip});
    if (frame.vector == arch::system_call_vector) {
        serve_system_call(*env);
        if (environments.current() == nullptr || env->state != Env::State::Running) schedule();
        resume(*env);
    }
    if (frame.vector == arch::vector::timer) preempt(*env);
    if (frame.vector >= arch::vector::first_interrupt ||
        frame.vector == arch::vector::non_maskable_interrupt)
        resume(*env);
    fault(*env);
}

void run_on_this_cpu(void*) {
    const bool enabled = arch::disable_interrupts();
    arch::run_user_mode(
        [] {
            environments.lock.lock();
            schedule();
        },
        on_trap);
    arch::restore_interrupts(enabled);
}

}  // namespace

void run_programs(unsigned cpus, std::uint64_t limit, bool interrupt_entries) {
    const unsigned count = std::min(cpus, arch::cpu_count());
    {
        const LockGuard guard{environments.lock};
        environments.cpus = count;
        deadline = limit != 0 ? arch::nanoseconds() + limit : 0;
        limit_reached = false;
        interrupts_entries = interrupt_entries;
    }
    for (unsigned cpu = 1; cpu < count; ++cpu) {
        const bool started = arch::start_on(cpu, run_on_this_cpu, nullptr);
        check(started, "run_programs: a CPU is busy");
    }
    run_on_this_cpu(nullptr);
    for (unsigned cpu = 1; cpu < count; ++cpu)
        while (!arch::is_idle(cpu)) arch::relax();
}

}  // namespace kern
