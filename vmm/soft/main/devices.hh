// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstdint>
#include <string_view>

#include "vmm/devices/io_apic.hh"
#include "vmm/devices/mmio_bus.hh"
#include "vmm/devices/uart16550.hh"
#include "vmm/devices/x2apic.hh"
#include "vmm/soft/guest.hh"

namespace vmm::soft {

/// The devices of the guest, which those of a virtual machine of nestling are as well: a serial
/// port, an IO-APIC, and the local APIC of its one CPU, by a page of memory. Other ports are an
/// empty bus.
///
/// Their clock is the guest's: the time in which it has run or waited. It stands while the host
/// works in the guest's place. Else a tick could be shorter than what one switch between two
/// programs costs in shadow entries, and neither would come to its next instruction.
class SoftDevices final : public PortBus {
   public:
    SoftDevices();

    std::uint32_t read(std::uint16_t port, unsigned size) override;
    void write(std::uint16_t port, unsigned size, std::uint32_t value) override;

    /// For SoftGuest.
    Devices devices() { return {.ports = *this, .mmio = mmio_, .apic = apic_}; }
    ///@{
    /// The clock, in ns.
    std::uint64_t now() const { return now_; }
    void advance(std::uint64_t ns) { now_ += ns; }
    ///@}
    /// How long it is until the guest's timer interrupts, in ns, but `longest` at most.
    std::uint64_t until_interrupt(std::uint64_t longest) const {
        const auto deadline = apic_.timer_deadline();
        if (!deadline) return longest;
        return std::min(longest, *deadline > now_ ? *deadline - now_ : 0);
    }
    /// Prints a line that has no end yet.
    void flush() { uart_.flush(); }

   private:
    /// The registers of `apic` in memory.
    class ApicPage final : public MmioDevice {
       public:
        explicit ApicPage(SoftDevices& devices) : devices_{devices} {}
        std::expected<std::uint64_t, Error> read(const MmioAccess& access) override;
        std::expected<void, Error> write(const MmioAccess& access, std::uint64_t value) override;

       private:
        SoftDevices& devices_;
    };

    static void print_line(void* devices, std::string_view line);
    static void send_from_device(void* devices, const InterruptCommand& command);
    void send(const InterruptCommand& command, std::uint32_t sender);

    std::uint64_t now_ = 0;
    X2Apic apic_{0};
    ApicPage apic_page_{*this};
    IoApic io_apic_{send_from_device, this};
    Uart16550 uart_{print_line, this, io_apic_};
    MmioBus mmio_{};
};

}  // namespace vmm::soft
