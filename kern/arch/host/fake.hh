// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "kern/arch/arch.hh"
#include "kern/arch/trap_frame.hh"
#include "kern/lib/address.hh"

/// The control panel of the fake machine: what a host test sets up, and what it sees.
///
/// Everything here may be called on any thread, except reset(), which wants all other threads
/// ended. A function given to an on_... runs on the thread that caused it, without a lock.
namespace kern::arch::fake {

/// Where the fake memory begins in the host-physical address space: far from 0 and from any
/// pointer, and above 4 GiB, so that an HPA taken for a pointer, or cut to 32 bits, shows at once.
inline constexpr Hpa arena_begin{0x5'4000'0000};

/// What reset() makes.
struct Options {
    std::size_t arena_bytes =
        16 << 20;       ///< rounded up to pages; the first and the last are not used
    unsigned cpus = 4;  ///< what cpu_count() says
};

/// A machine fresh from boot: new memory, the frame allocator over it, no ports, MSRs or CPUID
/// leaves, time 0. The calling thread becomes CPU 0. Waits for work of start_on that still runs.
void reset(const Options& options);
/// The same, with so many bytes of memory.
void reset(std::size_t arena_bytes = Options{}.arena_bytes);

/// The end of the arena.
Hpa arena_end();
/// Whether `address` lies in the arena.
bool is_memory(Hpa address);

/// The calling thread is CPU `cpu` from now on. Every thread but the process's first must call this
/// before it uses the kernel, and no two live threads may share a number.
void enter_cpu(unsigned cpu);
/// This thread's interrupt flag.
bool interrupts_enabled();

// Ports. Reading one that nobody has set gives ones, as on the hardware; writing is recorded.

/// One write to a port.
struct PortWrite {
    std::uint16_t port;   ///< where to
    std::uint8_t bytes;   ///< 1 or 4
    std::uint32_t value;  ///< what
    /// All three alike.
    bool operator==(const PortWrite&) const = default;
};
/// What reads of the port give from now on.
void set_port(std::uint16_t port, std::uint32_t value);
/// Asks `answer` at each read of the port.
void on_port_read(std::uint16_t port, std::function<std::uint32_t()> answer);
/// Runs at each write to the port, with what was written.
void on_port_write(std::uint16_t port, std::function<void(std::uint32_t)> effect);
/// All writes so far, oldest first.
std::vector<PortWrite> port_writes();

// MSRs, one set a CPU. Touching one that nobody has set panics, as it is a #GP on the hardware.

/// Makes `msr` exist, on every CPU.
void set_msr(std::uint32_t msr, std::uint64_t value);
/// The value on CPU `cpu`, without side effects. Panics if it does not exist.
std::uint64_t msr(std::uint32_t msr, unsigned cpu = 0);
/// Runs after each write_msr of `msr`.
void on_msr_write(std::uint32_t msr, std::function<void(std::uint64_t)> effect);

/// What CPUID says for a leaf; zeros for those that nobody has set.
void set_cpuid(std::uint32_t leaf, std::uint32_t subleaf, const CpuidResult& result);

// Time. timestamp() runs at 1 GHz, so that a tick is a nanosecond, and goes on by `step` at each
// read: loops with a deadline end, and nothing depends on the real clock.

/// What timestamp() gives next.
void set_timestamp(std::uint64_t value);
void set_timestamp_step(std::uint64_t step);  ///< 1000 after reset
/// The deadline of this CPU's set_timer, as a timestamp; 0: none.
std::uint64_t timer_deadline(unsigned cpu);

// Interrupts between CPUs.

/// The sets of CPUs given to interrupt_and_wait so far, oldest first.
std::vector<std::uint64_t> shootdowns();
/// Runs in each interrupt_and_wait: what the interrupted CPUs do before it returns.
void on_interrupt_and_wait(std::function<void(std::uint64_t cpus)> effect);
/// How often kick(cpu) was called.
unsigned kicks(unsigned cpu);
/// How often CPU `cpu` called relax(): a test sees by it that a CPU waits for another.
std::uint64_t relaxes(unsigned cpu);

// Ring 3. A test's function runs there in place of all programs.

/// Runs `program` in place of each program that is entered, on the CPU that has entered it, with
/// the registers that it has got; what it returns are the registers at its next trap.
void on_enter_user(std::function<TrapFrame(const TrapFrame& entered)> program);
/// The root of the tables that this CPU uses; 0: the kernel's own.
Hpa address_space();
/// The address of this CPU's last page fault.
void set_fault_address(std::uint64_t address);
/// One byte of this CPU's FPU registers.
std::byte& fpu_register();

/// Waits until no work of start_on runs.
void join();

/// Everything that was written to the console since reset. It also goes to stderr.
std::string console();

}  // namespace kern::arch::fake
