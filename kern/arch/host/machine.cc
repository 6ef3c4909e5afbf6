// SPDX-License-Identifier: MIT
#include "kern/arch/host/machine.hh"

#include <sys/mman.h>

#include <memory>

#include "kern/lib/panic.hh"
#include "kern/mm/frame_allocator.hh"
#include "kern/mm/poison.hh"

namespace kern::arch::fake {

Arena::Arena(std::size_t bytes) : size_{align_up(bytes, page_size)} {
    void* const mapping = ::mmap(nullptr, size_, PROT_READ | PROT_WRITE,
                                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    check(mapping != MAP_FAILED, "no memory for the arena of the fake machine");
    bytes_ = static_cast<std::byte*>(mapping);
    poison(bytes_, size_);
}

Arena::~Arena() {
    unpoison(bytes_, size_);
    ::munmap(bytes_, size_);
}

namespace {

constinit Machine* current = nullptr;
constinit std::uint64_t arena_bytes = 0;  // of the current one

void start(const Options& options) {
    check(options.cpus >= 1 && options.cpus <= max_cpus, "the fake machine has 1 to 16 CPUs");
    check(options.arena_bytes >= 4 * page_size, "the fake machine's arena has 4 pages at least");
    static std::unique_ptr<Machine> owner;
    owner.reset();
    owner = std::make_unique<Machine>(options);
    current = owner.get();
    arena_bytes = current->arena.size();

    // A new allocator in the old one's place: it is at boot, and so is everything else.
    FrameAllocator& allocator = frames();
    std::destroy_at(&allocator);
    std::construct_at(&allocator);
    // The first and the last page stay out, poisoned: nothing runs over the arena's ends unseen.
    unpoison(current->arena.begin() + page_size, current->arena.size() - 2 * page_size);
    const Hpa end = arena_begin + (current->arena.size() - page_size);
    allocator.add_range(arena_begin + page_size, end, end);
}

}  // namespace

Machine& machine() {
    if (!current) {
        static std::once_flag once;
        std::call_once(once, [] {
            if (!current) start(Options{});
        });
    }
    return *current;
}

void reset(const Options& options) {
    enter_cpu(0);
    start(options);
}

void reset(std::size_t arena_bytes) {
    reset(Options{.arena_bytes = arena_bytes});
}

Hpa arena_end() {
    return arena_begin + machine().arena.size();
}

bool is_memory(Hpa address) {
    machine();  // begins one, if there is none
    return address.value() - arena_begin.value() < arena_bytes;
}

void set_port(std::uint16_t port, std::uint32_t value) {
    const std::lock_guard guard{machine().lock};
    machine().ports[port].value = value;
}

void on_port_read(std::uint16_t port, std::function<std::uint32_t()> answer) {
    const std::lock_guard guard{machine().lock};
    machine().ports[port].on_read = std::move(answer);
}

void on_port_write(std::uint16_t port, std::function<void(std::uint32_t)> effect) {
    const std::lock_guard guard{machine().lock};
    machine().ports[port].on_write = std::move(effect);
}

void record_port_write(const PortWrite& write) {
    machine().port_writes.push_back(write);
}

std::vector<PortWrite> port_writes() {
    const std::lock_guard guard{machine().lock};
    return machine().port_writes;
}

void set_msr(std::uint32_t msr, std::uint64_t value) {
    const std::lock_guard guard{machine().lock};
    for (Cpu& cpu : machine().cpus) cpu.msrs[msr] = value;
}

std::uint64_t msr(std::uint32_t msr, unsigned cpu) {
    const std::lock_guard guard{machine().lock};
    const auto& msrs = machine().cpus.at(cpu).msrs;
    const auto found = msrs.find(msr);
    check(found != msrs.end(), "a fake MSR is touched that the test has not set: #GP");
    return found->second;
}

void on_msr_write(std::uint32_t msr, std::function<void(std::uint64_t)> effect) {
    const std::lock_guard guard{machine().lock};
    machine().on_msr_write[msr] = std::move(effect);
}

void set_cpuid(std::uint32_t leaf, std::uint32_t subleaf, const CpuidResult& result) {
    const std::lock_guard guard{machine().lock};
    machine().cpuid[{leaf, subleaf}] = result;
}

void set_timestamp(std::uint64_t value) {
    machine().timestamp = value;
}
void set_timestamp_step(std::uint64_t step) {
    machine().timestamp_step = step;
}

std::uint64_t timer_deadline(unsigned cpu) {
    const std::lock_guard guard{machine().lock};
    return machine().cpus.at(cpu).timer_deadline;
}

void record_shootdown(std::uint64_t cpus) {
    machine().shootdowns.push_back(cpus);
}

std::vector<std::uint64_t> shootdowns() {
    const std::lock_guard guard{machine().lock};
    return machine().shootdowns;
}

void on_interrupt_and_wait(std::function<void(std::uint64_t)> effect) {
    const std::lock_guard guard{machine().lock};
    machine().on_interrupt_and_wait = std::move(effect);
}

std::uint64_t relaxes(unsigned cpu) {
    return machine().cpus.at(cpu).relaxes.load(std::memory_order_relaxed);
}

unsigned kicks(unsigned cpu) {
    const std::lock_guard guard{machine().lock};
    return machine().cpus.at(cpu).kicks;
}

void join() {
    for (Cpu& cpu : machine().cpus) {
        if (cpu.thread.joinable()) cpu.thread.join();
    }
}

std::string console() {
    const std::lock_guard guard{machine().lock};
    return machine().console;
}

}  // namespace kern::arch::fake
