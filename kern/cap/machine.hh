// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

namespace kern::cap {

struct PageTable;

/// How many bytes are cleared at most between two looks at Machine::preemption_pending.
inline constexpr std::uint64_t clear_piece = 4096;

/// The hardware, as far as this room needs it. Which thread a CPU runs is not told to it: whoever
/// leaves the kernel looks at Kernel::current.
class Machine {
   public:
    Machine() = default;
    Machine(const Machine&) = delete;
    Machine& operator=(const Machine&) = delete;
    virtual ~Machine() = default;

    /// The preemption point: whether an operation that takes long should stop here with
    /// Status::Preempted. In a test, the test decides.
    virtual bool preemption_pending() = 0;
    /// Fills memory with zeros: at most clear_piece bytes. Never memory of a device.
    virtual void clear(std::uint64_t address, std::uint64_t bytes) = 0;
    /// `table` was made, and is empty: puts what the kernel needs into the hardware's table of an
    /// address space.
    virtual void begin_space(PageTable& table) = 0;
    /// Takes an entry out of the hardware's table; no TLB has it any more.
    virtual void clear_entry(PageTable& table, unsigned index) = 0;
    /// `table` ends: no CPU uses it any more.
    virtual void end_table(PageTable& table) = 0;
    /// Makes another CPU leave ring 3. When this is back, the registers of its thread are in
    /// Tcb::machine, and it waits for the kernel's lock, to call schedule then.
    virtual void stop(unsigned cpu) = 0;
    ///@{
    /// Keeps an interrupt from arriving, or lets it.
    virtual void mask(unsigned irq) = 0;
    virtual void unmask(unsigned irq) = 0;
    ///@}
};

}  // namespace kern::cap
