// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "vmm/devices/mmio_bus.hh"
#include "vmm/devices/x2apic.hh"
#include "vmm/soft/classify_trap.hh"
#include "vmm/soft/deliver_event.hh"
#include "vmm/soft/port_bus.hh"
#include "vmm/soft/rewrite_sensitive.hh"
#include "vmm/soft/shadows.hh"
#include "vmm/soft/soft_cpu.hh"

namespace vmm::soft {

/// Why the real CPU has left ring 3.
struct HostTrap {
    std::uint8_t vector = 0;       ///< an exception
    std::uint32_t error_code = 0;  ///< as it was pushed; 0 if there is none
    std::uint32_t address = 0;     ///< of a page fault: the real CR2
};

/// What the guest finds beside its memory.
struct Devices {
    PortBus& ports;       ///< behind its ports
    const MmioBus& mmio;  ///< behind addresses where it has no memory; accessed as vCPU 0
    X2Apic& apic;         ///< of its CPU: where interrupts come from
};

/// A guest: its CPU, its shadows, and what becomes of each trap. The tasks do the work; this says
/// who is called when. Times are in ns, and never go back.
class SoftGuest {
   public:
    /// What is next.
    enum class Next : std::uint8_t {
        Enter,   ///< ring 3, with `cpu.registers` and the active shadow table
        Wait,    ///< it is halted: until its APIC's timer_deadline() nothing will happen
        Exited,  ///< it has ended itself, with `status`
        Ended,   ///< it cannot go on, for `reason`
    };
    /// How often what happened.
    struct Counts {
        ///@{
        /// Traps in all, and by what they were.
        std::uint64_t traps = 0, emulated = 0, rewritten = 0, software_interrupts = 0, faults = 0,
                      filled = 0, traced = 0, dropped = 0, interrupts = 0;
        ///@}
        std::uint64_t table_loads = 0;  ///< writes of CR3 by the guest
    };

    /// All of them stay the caller's.
    SoftGuest(const GuestMemory& memory, const Devices& devices, ShadowMachine& machine,
              Shadows::Keeping keeping)
        : memory_{memory}, devices_{devices}, shadows_{machine, memory, keeping} {}

    /// Puts the CPU where multiboot2 has a kernel begin [multiboot2 3.3]: protected mode, flat, no
    /// paging, interrupts off, at `entry`.
    void start(std::uint32_t entry);
    /// Serves a trap: `cpu.registers` is what the real CPU had.
    Next serve(const HostTrap& trap, std::uint64_t now);
    /// The host was interrupted while ring 3 ran, or has waited: looks whether an interrupt is to be
    /// delivered.
    Next look_at_clock(std::uint64_t now);

    SoftCpu cpu{};              ///< the guest's
    Sites sites{};              ///< what was rewritten in its kernel
    std::uint32_t status = 0;   ///< of Exited: EBX
    std::string_view reason{};  ///< of Ended, in words

    /// The table that the real CPU must use now.
    ShadowTable& table() { return shadows_.active(cpu.user_mode); }
    /// How often what happened.
    const Counts& counts() const { return counts_; }

   private:
    void leave_ring_3(bool has_stepped);
    bool may_be_interrupted(std::uint64_t now);
    Delivered deliver();
    Delivered deliver_waiting();
    Next settle(std::uint64_t now);
    Next end(std::string_view why);
    void raise(const GuestFault& fault);
    void general_protection(std::uint32_t error_code);
    Next page_fault(const HostTrap& trap);
    bool is_exit();
    void emulate(const SensitiveInstruction& instruction);
    std::span<const std::byte> instruction_here();
    const Site* site_here() const;

    const GuestMemory& memory_;
    Devices devices_;
    Shadows shadows_;
    Counts counts_{};
    std::uint64_t entered_at_ = 0;  // RIP
    std::array<std::byte, longest_instruction> fetched_{};
    // TF of the real CPU is ours: it is to come back behind the instruction that STI protects.
    bool stepping_ = false;
};

}  // namespace vmm::soft
