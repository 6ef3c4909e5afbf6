// SPDX-License-Identifier: MIT
#include "kern/arch/x86_64/smp.hh"

#include <cstring>

#include "kern/arch/arch.hh"
#include "kern/arch/vectors.hh"
#include "kern/arch/x86_64/apic.hh"
#include "kern/arch/x86_64/clock.hh"
#include "kern/arch/x86_64/guest.hh"
#include "kern/arch/x86_64/image.hh"
#include "kern/arch/x86_64/kernel_map.hh"
#include "kern/arch/x86_64/per_cpu.hh"
#include "kern/arch/x86_64/probe.hh"
#include "kern/arch/x86_64/registers.hh"
#include "kern/boot/acpi.hh"
#include "kern/lib/panic.hh"
#include "kern/lib/print.hh"
#include "kern/sync/raise_to.hh"

extern "C" const std::byte trampoline_begin[], trampoline_parameters[], trampoline_end[];

namespace kern::arch {

constinit std::array<PerCpu, max_cpus> cpus;

namespace {

constexpr std::uint64_t stack_size = 32ULL * 1024;
constexpr std::uint64_t interrupt_stack_size = 8ULL * 1024;
constexpr std::uint64_t millisecond = 1'000'000;
constexpr std::uint32_t cpuid_xsave = 1 << 26;  // leaf 1, ECX
constexpr std::uint32_t xsave_leaf = 0xd;

std::atomic<unsigned> cpus_up{1};

/// The last words of trampoline.S.
struct TrampolineParameters {
    std::uint64_t boot_root, kernel_root, stack, cpu;
};

/// What an application processor does all its life: one piece of work after the other.
[[noreturn]] void idle() {
    PerCpu& self = this_cpu();
    x86::disable_interrupts();
    while (true) {
        auto* const work = self.work.exchange(nullptr, std::memory_order_acquire);
        if (work == nullptr) {
            wait_for_interrupt();
            continue;
        }
        x86::enable_interrupts();
        work(self.context);
        x86::disable_interrupts();
        self.busy.store(false, std::memory_order_release);
    }
}

/// Where trampoline.S goes to, in the kernel's address space and on the CPU's own stack.
extern "C" [[noreturn]] void start_application_processor(unsigned index) {
    enter_cpu(index);
    set_up_cpu();
    apic::enable();
    cpus[index].apic_id = apic::id();
    cpus[index].up.store(true, std::memory_order_release);
    idle();
}

/// The other CPUs' APIC identifiers.
acpi::CpuList find_other_cpus(const BootInfo& boot) {
    acpi::CpuList all;
    if (const auto host = host_of_this_guest()) {
        for (std::uint32_t id = 0; id < host->cpu_count && all.push(id); ++id) {
        }
    } else {
        auto rsdp = boot.rsdp;
        if (rsdp == Hpa{}) rsdp = acpi::find_rsdp(low_memory()).value_or(Hpa{});
        const auto found = acpi::find_cpus(low_memory(), rsdp);
        if (found)
            all = *found;
        else
            kprint("one CPU only: the ACPI tables do not tell of others: {}\n", found.error());
    }
    acpi::CpuList others;
    for (const std::uint32_t id : all)
        if (id != apic::id()) static_cast<void>(others.push(id));  // no longer than `all`
    return others;
}

/// Waits for `cpu` to be up. The bound is generous: the emulator's processors are shared.
bool wait_until_up(const PerCpu& cpu, std::uint64_t longest) {
    const std::uint64_t since = timestamp();
    while (!cpu.up.load(std::memory_order_acquire)) {
        if (clock::has_passed(since, longest)) return false;
        asm volatile("pause");
    }
    return true;
}

}  // namespace

void enter_cpu(unsigned index) {
    cpus[index].index = index;
    write_msr(x86::msr::gs_base, reinterpret_cast<std::uintptr_t>(&cpus[index]));
}

void set_up_cpu() {
    std::array<std::uint64_t, interrupt_stack::count + 1> tops{};
    for (std::size_t i = 1; i < tops.size(); ++i) tops[i] = make_stack(interrupt_stack_size);
    load_descriptors(this_cpu().descriptors, tops);

    std::uint64_t cr4 = x86::read_cr4() | x86::cr4::osfxsr | x86::cr4::osxmmexcpt;
    const bool has_xsave = (cpuid(1).ecx & cpuid_xsave) != 0;
    if (has_xsave) cr4 |= x86::cr4::osxsave;
    x86::write_cr4(cr4);
    if (has_xsave) {
        const CpuidResult supported = cpuid(xsave_leaf);
        x86::write_xcr0(std::uint64_t{supported.edx} << 32 | supported.eax);
    }
}

void start_other_cpus(const BootInfo& boot) {
    cpus[0].apic_id = apic::id();
    cpus[0].up.store(true);
    const acpi::CpuList others = find_other_cpus(boot);
    if (others.size() == 0) return;

    std::byte* const page = direct_map(Hpa{TRAMPOLINE});
    std::memcpy(page, trampoline_begin,
                static_cast<std::size_t>(trampoline_end - trampoline_begin));
    std::byte* const parameters_at = page + (trampoline_parameters - trampoline_begin);
    unsigned index = 1;
    for (const std::uint32_t id : others) {
        if (index == max_cpus) {
            kprint("CPU with APIC ID {} is left out: this kernel uses {} at most\n", id, max_cpus);
            continue;
        }
        const TrampolineParameters parameters{image_physical(boot_pml4).value(), x86::read_cr3(),
                                              make_stack(stack_size), index};
        std::memcpy(parameters_at, &parameters, sizeof(parameters));
        // INIT, then start-up, and once more if nothing happens: no CPU of the last twenty years
        // wants the old manuals' 10 ms in between [intel/vol3a 8.4.4.1 is for the oldest].
        apic::send_init(id);
        apic::send_startup(id, TRAMPOLINE_VECTOR);
        if (!wait_until_up(cpus[index], 10 * millisecond)) {
            apic::send_startup(id, TRAMPOLINE_VECTOR);
            if (!wait_until_up(cpus[index], 1000 * millisecond)) {
                // It may still come, late, to this number's stack: so nobody else gets the number.
                panic("a CPU that the firmware announces does not start");
            }
        }
        ++index;
        cpus_up.store(index);
    }
}

unsigned cpu_count() {
    return cpus_up.load(std::memory_order_relaxed);
}

bool start_on(unsigned cpu, void (*work)(void*), void* context) {
    if (cpu == 0 || cpu >= cpu_count() || cpu == cpu_index()) return false;
    PerCpu& target = cpus[cpu];
    if (target.busy.exchange(true, std::memory_order_acquire)) return false;
    target.context = context;
    target.work.store(work, std::memory_order_release);
    kick(cpu);
    return true;
}

bool is_idle(unsigned cpu) {
    return cpu != 0 && cpu < cpu_count() && !cpus[cpu].busy.load(std::memory_order_acquire);
}

void kick(unsigned cpu) {
    if (cpu < cpu_count()) apic::send(cpus[cpu].apic_id, vector::kick);
}

std::uint64_t kicked_at() {
    return this_cpu().kicked_at;
}

void answer_interrupt_request() {
    // A loop that waits with interrupts enabled may be interrupted in the middle of this, by the
    // answer to a later request.
    PerCpu& self = this_cpu();
    raise_to(self.answered, self.asked.load(std::memory_order_acquire));
}

void interrupt_and_wait(std::uint64_t wanted) {
    std::array<std::uint64_t, max_cpus> tickets{};
    const unsigned self = cpu_index();
    for (unsigned cpu = 0; cpu < cpu_count(); ++cpu) {
        if (cpu == self || (wanted >> cpu & 1) == 0) continue;
        tickets[cpu] = cpus[cpu].asked.fetch_add(1, std::memory_order_acq_rel) + 1;
        apic::send(cpus[cpu].apic_id, vector::request);
    }
    for (unsigned cpu = 0; cpu < cpu_count(); ++cpu)
        while (cpus[cpu].answered.load(std::memory_order_acquire) < tickets[cpu]) relax();
}

}  // namespace kern::arch
