// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "kern/lib/address.hh"

/// What the rest of the kernel asks of a machine. `kern/arch/x86_64` asks the hardware;
/// `kern/arch/host` answers from an arena of fake memory, fake ports and fake MSRs, so that
/// everything above this header runs in an ordinary process under the sanitizers.
namespace kern::arch {

/// CPUs are numbered from 0 (the one that booted) without gaps.
inline constexpr unsigned max_cpus = 16;

/// The four registers that CPUID returns.
struct CpuidResult {
    ///@{
    /// As the instruction leaves them.
    std::uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;
    ///@}
};
/// CPUID for EAX = `leaf`, ECX = `subleaf`, on this CPU.
CpuidResult cpuid(std::uint32_t leaf, std::uint32_t subleaf = 0);

///@{
/// A model-specific register of this CPU, which must exist.
std::uint64_t read_msr(std::uint32_t msr);
void write_msr(std::uint32_t msr, std::uint64_t value);
///@}

///@{
/// An I/O port, 1 or 4 bytes at once.
std::uint8_t in8(std::uint16_t port);
void out8(std::uint16_t port, std::uint8_t value);
std::uint32_t in32(std::uint16_t port);
void out32(std::uint16_t port, std::uint32_t value);
///@}

/// The byte at `address` through the direct map of physical memory.
std::byte* direct_map(Hpa address);
/// The inverse of direct_map, for pointers into the direct map only.
Hpa physical_address(const void* in_direct_map);

/// This CPU's number.
unsigned cpu_index();
/// How many CPUs are up.
unsigned cpu_count();

/// Tells the CPU (PAUSE) that this is a spin loop; on the host, gives the processor away.
void relax();

/// Disables maskable interrupts; returns whether they were enabled, for restore_interrupts.
bool disable_interrupts();
/// Enables them again if disable_interrupts() said that they were.
void restore_interrupts(bool enabled);

/// A free-running counter and its rate. The rate is measured at boot, in Hz.
std::uint64_t timestamp();
/// Ticks of timestamp() in a second.
std::uint64_t timestamp_rate();
/// Nanoseconds since boot; monotonic on one CPU.
std::uint64_t nanoseconds();

/// Runs `work(context)` on CPU `cpu`, soon, in a context where it may block and enable interrupts;
/// returns at once. A CPU runs one piece of work at a time. CPU 0 and the caller's own CPU take
/// none. Returns false if that CPU is not idle.
bool start_on(unsigned cpu, void (*work)(void*), void* context);
/// Whether `cpu` has no work from start_on.
bool is_idle(unsigned cpu);

/// Interrupts every CPU in `cpus` (bit n is CPU n; the caller's own bit is ignored) and returns
/// once each has taken the interrupt: a CPU that was running a guest has left it by then.
void interrupt_and_wait(std::uint64_t cpus);
/// Interrupts `cpu` without waiting: wakes it from wait_for_interrupt, takes it out of a guest.
void kick(unsigned cpu);
/// Sleeps until any interrupt. Interrupts must be disabled; they are enabled while it sleeps and
/// disabled again when it returns, so that a wake-up between the caller's test and the sleep
/// counts.
void wait_for_interrupt();
/// Interrupts this CPU once, `nanoseconds` from now at the earliest. 0 cancels.
void set_timer(std::uint64_t nanoseconds);

/// Writes to the console, unbuffered and without a lock: kprint is what callers want.
void console_write(std::string_view text);

/// Ends the machine. The emulator's exit status tells `status` (0 to 127).
[[noreturn]] void power_off(unsigned status);
/// Ends the machine for panic(): prints the registers and a backtrace first.
[[noreturn]] void die(std::string_view message, std::string_view file, unsigned line);

}  // namespace kern::arch
