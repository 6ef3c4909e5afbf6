// SPDX-License-Identifier: MIT
// Entry and exit: what each CPU does between two threads. The kernel runs to completion on one
// stack a CPU, with interrupts disabled, under one lock. A trap first puts the program's registers
// into its TCB, then takes the lock: so a CPU that waits for the lock has nothing that is nowhere
// else, and another one can take its thread away (stop_cpu).
#include "kern/cap/main/cpus.hh"

#include <algorithm>
#include <array>
#include <atomic>

#include "kern/arch/arch.hh"
#include "kern/arch/device_interrupts.hh"
#include "kern/arch/fpu.hh"
#include "kern/arch/segments.hh"
#include "kern/arch/user.hh"
#include "kern/arch/vectors.hh"
#include "kern/arch/x86.hh"
#include "kern/cap/calls.hh"
#include "kern/cap/main/micro_evidence.hh"
#include "kern/cap/threads.hh"
#include "kern/lib/panic.hh"

namespace kern::cap {
namespace {

constexpr std::uint64_t time_slice = 5'000'000, longest = 60'000'000'000;  // ns
constexpr std::uint64_t system_call_size = 2;                              // bytes of SYSCALL
constexpr unsigned count_shift = 32;  // RDX of a system call: capabilities << 32

/// What a CPU knows of itself.
struct alignas(64) Cpu {
    Tcb* thread = nullptr;  ///< whom it has entered last
    /// What CR3 has, if it is a thread's: its AddressSpace's table. 0: the kernel's own.
    std::atomic<std::uint64_t> space{0};
    std::atomic<bool> is_asked{false};  ///< to leave that
    bool is_idle = false;               ///< and nobody has kicked it
    bool has_slice = false;             ///< its timer runs
};
std::array<Cpu, most_cpus> cpus;
std::atomic<bool> locked{false};
World* world = nullptr;
unsigned cpu_count = 1;
std::uint64_t deadline = 0;  // nanoseconds since boot

Cpu& self() {
    return cpus[arch::cpu_index()];
}

void use_kernel_space() {
    if (self().space.load(std::memory_order_relaxed) != 0) arch::use_kernel_address_space();
    self().space.store(0, std::memory_order_release);
}

/// Whoever has the lock may wait for this CPU meanwhile.
void lock() {
    while (locked.exchange(true, std::memory_order_acquire)) {
        while (locked.load(std::memory_order_relaxed)) {
            if (self().is_asked.load(std::memory_order_acquire)) {
                use_kernel_space();
                self().is_asked.store(false, std::memory_order_release);
            }
            arch::relax();
        }
    }
    world->kernel.cpu = arch::cpu_index();
    world->machine.begin_call();
}
void unlock() {
    locked.store(false, std::memory_order_release);
}

///@{
/// Between a thread's registers and its message.
void take_message(const arch::TrapFrame& frame, Message& message) {
    message = {.label = frame.rsi,
               .length = frame.rdx & 0xffff'ffff,
               .capabilities = frame.rdx >> count_shift,
               .words = {frame.r8, frame.r9, frame.r10, frame.r12}};
}
void give_message(const Tcb& tcb, arch::TrapFrame& frame) {
    const Message& message = tcb.message;
    frame.rax = static_cast<std::uint64_t>(tcb.status);
    frame.rdi = message.badge;
    frame.rsi = message.label;
    frame.rdx = message.length | message.capabilities << count_shift;
    frame.r8 = message.words[0];
    frame.r9 = message.words[1];
    frame.r10 = message.words[2];
    frame.r12 = message.words[3];
}
///@}

/// The current thread has made a system call. Its registers are those before SYSCALL.
void serve_call(Tcb& tcb) {
    Kernel& kernel = world->kernel;
    ThreadState& state = state_of(tcb);
    const std::uint64_t number = state.frame.rax;
    state.frame.rip += system_call_size;
    if (number > static_cast<std::uint64_t>(SystemCall::Yield)) {
        state.frame.rax = static_cast<std::uint64_t>(Status::InvalidArgument);
        return;
    }
    ++micro_evidence.records[0].system_calls[number];
    take_message(state.frame, tcb.message);
    state.in_call = true;
    if (system_call(kernel, static_cast<SystemCall>(number), state.frame.rdi) != Status::Preempted)
        return;
    ++micro_evidence.records[0].preempted;
    state.frame.rip -= system_call_size;  // its registers are as they were: it makes it again
    state.in_call = false;
}

void serve_fault(const arch::TrapFrame& frame) {
    ++micro_evidence.records[0].faults;
    const bool is_page_fault = frame.vector == arch::vector::page_fault;
    fault(world->kernel,
          {.label = static_cast<std::uint64_t>(is_page_fault ? Fault::Page : Fault::Exception),
           .length = register_words,
           .words = {is_page_fault ? arch::fault_address() : frame.vector, frame.error_code,
                     frame.rip, frame.rsp}});
}

void serve(Tcb& tcb) {
    const arch::TrapFrame& frame = state_of(tcb).frame;
    if (frame.vector == arch::system_call_vector) return serve_call(tcb);
    if (frame.vector == arch::vector::timer) {
        ++micro_evidence.records[0].slices;
        if (arch::nanoseconds() > deadline) end_machine(*world, MicroEnd::TimeIsOver);
        yield(world->kernel);
    } else if (frame.vector < arch::vector::first_interrupt &&
               frame.vector != arch::vector::non_maskable_interrupt) {
        serve_fault(frame);
    }
    schedule(world->kernel);  // a kick: somebody more urgent is Ready
}

void take_interrupts() {
    std::uint64_t arrived = arch::take_device_interrupts();
    for (unsigned irq = 0; arrived != 0; ++irq, arrived >>= 1) {
        if ((arrived & 1) == 0) continue;
        ++micro_evidence.records[0].interrupts;
        interrupt_arrived(world->kernel, irq);
    }
}

/// Somebody is Ready: gets him a CPU that has nobody, or else one whose thread is less urgent.
void find_cpu() {
    if (cpu_count == 1) return;
    const int ready = highest_ready(world->kernel);
    if (ready < 0) return;
    unsigned best = most_cpus;
    int least = ready;
    for (unsigned cpu = 0; cpu < cpu_count; ++cpu) {
        const Tcb* const running = world->kernel.running[cpu];
        const int priority = running != nullptr  ? running->priority
                             : cpus[cpu].is_idle ? -1
                                                 : ready;
        if (cpu == arch::cpu_index() || priority >= least) continue;
        least = priority;
        best = cpu;
    }
    if (best == most_cpus) return;
    cpus[best].is_idle = false;
    arch::kick(best);
}

bool is_anybody_running() {
    return std::ranges::any_of(world->kernel.running,
                               [](const Tcb* tcb) { return tcb != nullptr; });
}
bool is_an_interrupt_awaited() {
    return std::ranges::any_of(world->kernel.interrupts,
                               [](const Irq& irq) { return irq.notification != nullptr; });
}

/// This CPU has nobody. Who runs has a slice, and its end is a look at the time too.
void look_for_the_end() {
    if (arch::nanoseconds() > deadline) end_machine(*world, MicroEnd::TimeIsOver);
    if (!is_anybody_running() && highest_ready(world->kernel) < 0 && !is_an_interrupt_awaited())
        end_machine(*world, MicroEnd::NobodyCanRun);
}

/// Sleeps until anything comes.
void sleep() {
    Cpu& cpu = self();
    use_kernel_space();
    cpu.thread = nullptr;
    cpu.is_idle = true;
    cpu.has_slice = false;
    unlock();
    arch::set_timer(time_slice);
    arch::wait_for_interrupt();
    lock();
    cpu.is_idle = false;
}

void use_space_of(const Tcb& tcb) {
    const Capability& capability = tcb.space.capability;
    const std::uint64_t wanted = capability.type == Type::AddressSpace ? capability.object : 0;
    if (wanted == 0) return use_kernel_space();  // its half of that is empty: the thread faults
    if (self().space.load(std::memory_order_relaxed) == wanted) return;
    arch::use_address_space(arch::physical_address(reinterpret_cast<void*>(wanted)));
    self().space.store(wanted, std::memory_order_release);
}

[[noreturn]] void enter(Tcb& tcb) {
    ThreadState& state = state_of(tcb);
    if (state.in_call) give_message(tcb, state.frame);
    state.in_call = false;
    // A thread may run that was never given registers.
    state.frame.cs = arch::selector::user_code;
    state.frame.ss = arch::selector::user_data;
    state.frame.rflags |= arch::x86::rflags::interrupt_enable | arch::x86::rflags::reserved_one;
    Cpu& cpu = self();
    cpu.thread = &tcb;
    use_space_of(tcb);
    if (!cpu.has_slice) arch::set_timer(time_slice);
    cpu.has_slice = true;
    unlock();
    arch::clear_selectors();
    // Whoever changes these registers from now on stops this CPU first.
    arch::enter_user(&state.frame);
}

[[noreturn]] void leave_kernel() {
    while (true) {
        take_interrupts();
        // Whatever has happened here ended with schedule, as calls.hh says.
        if (world->kernel.current() == nullptr) schedule(world->kernel);
        if (world->root->state == Tcb::State::Inactive)
            end_machine(*world, MicroEnd::RootTaskEnded);
        find_cpu();
        if (Tcb* const next = world->kernel.current()) enter(*next);
        look_for_the_end();
        sleep();
    }
}

/// Every trap out of ring 3 comes here, on an empty stack, with interrupts disabled.
void on_trap(const arch::TrapFrame& frame) {
    Tcb& tcb = *self().thread;
    arch::TrapFrame& kept = state_of(tcb).frame;
    kept = frame;
    if (frame.vector == arch::system_call_vector) kept.rip -= system_call_size;
    if (frame.vector == arch::vector::timer) self().has_slice = false;
    lock();
    // If it was taken off this CPU meanwhile, what it wanted did not happen.
    if (world->kernel.current() != nullptr) serve(tcb);
    leave_kernel();
}

void run_on_this_cpu(void*) {
    arch::disable_interrupts();
    arch::forbid_fpu();
    arch::run_user_mode(
        [] {
            lock();
            leave_kernel();
        },
        on_trap);
}

}  // namespace

void run_threads(World& the_world, unsigned count) {
    world = &the_world;
    cpu_count = std::min(count, most_cpus);
    deadline = arch::nanoseconds() + longest;
    for (unsigned cpu = 1; cpu < cpu_count; ++cpu)
        check(arch::start_on(cpu, run_on_this_cpu, nullptr), "a CPU is busy");
    run_on_this_cpu(nullptr);
    panic("run_threads: user mode was left");
}

void stop_cpu(unsigned cpu) {
    Cpu& other = cpus[cpu];
    if (other.space.load(std::memory_order_acquire) == 0 && world->kernel.running[cpu] == nullptr)
        return;
    other.is_asked.store(true, std::memory_order_release);
    arch::kick(cpu);
    while (other.is_asked.load(std::memory_order_acquire)) arch::relax();
}

void leave_address_spaces() {
    if (world == nullptr) return;  // the root task is being made
    for (unsigned cpu = 0; cpu < cpu_count; ++cpu)
        if (cpu != arch::cpu_index()) stop_cpu(cpu);
    use_kernel_space();
}

}  // namespace kern::cap
