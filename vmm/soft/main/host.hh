// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <expected>

#include "kern/arch/trap_frame.hh"
#include "vmm/soft/guest.hh"
#include "vmm/soft/main/devices.hh"
#include "vmm/soft/main/hardware.hh"

namespace vmm::soft {

/// A guest with everything that it runs on: shadow tables, devices, and this CPU's ring 3.
class Host {
   public:
    /// `memory` is the guest's, and stays the caller's.
    Host(const GuestMemory& memory, Shadows::Keeping keeping)
        : guest_{memory, devices_.devices(), machine_, keeping} {}

    /// Takes the frames of the shadow tables. Error: OutOfMemory.
    std::expected<void, Error> create() { return machine_.create(); }

    /// Runs the guest from where its CPU is, on this CPU, and prints what it prints. One at a time
    /// on one CPU.
    /// @return Exited or Ended; Enter, if it was stopped: it has trapped a million times or run for
    /// three seconds
    SoftGuest::Next run();

    ///@{
    /// What it is made of.
    SoftGuest& guest() { return guest_; }
    const SoftGuest& guest() const { return guest_; }
    ///@}
    /// The last trap, which has ended it.
    const HostTrap& last_trap() const { return last_trap_; }
    /// How often the real CPU was given a page table: a write of the real CR3.
    std::uint64_t table_loads() const { return machine_.loads(); }
    /// How long run() took, in ns.
    std::uint64_t duration() const { return duration_; }

   private:
    static void begin();
    static void on_trap(const kern::arch::TrapFrame& frame);
    [[noreturn]] void enter();
    void leave_ring_3(const kern::arch::TrapFrame& frame);
    void arm_timer(std::uint64_t now);
    void start_clock();
    std::uint64_t stop_clock();

    HardwareMachine machine_;
    SoftDevices devices_;
    SoftGuest guest_;
    kern::arch::TrapFrame frame_{};  // to enter ring 3 with
    HostTrap last_trap_{};
    SoftGuest::Next next_ = SoftGuest::Next::Enter;
    std::uint64_t duration_ = 0;
    ///@{
    /// In nanoseconds since boot.
    std::uint64_t end_at_ = 0;
    std::uint64_t armed_for_ = 0;   // when this machine's timer goes off
    std::uint64_t entered_at_ = 0;  // when ring 3, or HLT, began
    ///@}
};

}  // namespace vmm::soft
