// SPDX-License-Identifier: MIT
#pragma once

#include "kern/cap/machine.hh"
#include "kern/cap/objects.hh"

namespace kern::cap {

class Hardware;

/// What becomes of an interrupt.
struct Irq {
    Notification* notification = nullptr;  ///< is signalled; nullptr: nobody wants it
    std::uint64_t badge = 0;               ///< with this badge
    std::uint64_t has_handler = 0;         ///< 1: there is a capability IrqHandler
};

/// All that the kernel knows beside the objects. It can be copied as bytes, and so can they: to put
/// both back is to put everything back.
struct Kernel {
    Machine* machine = nullptr;             ///< the hardware
    Hardware* hardware = nullptr;           ///< more of it, for invoke alone
    std::array<Queue, priorities> ready{};  ///< by priority: threads that wait for a CPU
    std::array<Tcb*, most_cpus> running{};  ///< by CPU: the thread that has it; nullptr: none
    unsigned cpu = 0;                       ///< who holds the lock
    Holder* dead = nullptr;                 ///< have ended, and still have slots to be emptied
    std::array<Irq, irqs> interrupts{};     ///< by number
    std::uint64_t fast_calls = 0;           ///< how often ipc_fastpath did a Call
    std::uint64_t fast_replies = 0;         ///< how often it did a ReplyRecv

    /// The thread that has this CPU.
    Tcb*& current() { return running[cpu]; }
};
static_assert(std::is_trivially_copyable_v<Kernel> && std::is_trivially_copyable_v<Tcb> &&
              std::is_trivially_copyable_v<Slot> && std::is_trivially_copyable_v<PageTable>);

}  // namespace kern::cap
