// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <optional>

#include "kern/sync/spin_lock.hh"
#include "vmm/devices/line_writer.hh"

namespace vmm {

class IoApic;

/// A 16550 UART: its transmitter, for a driver that polls [16550D data sheet]. What the guest sends
/// is printed by whole lines, with the VM's name before them. Nobody sends anything to it; so what
/// it receives is its own, in loopback (MCR bit 4): a byte that is sent there is one that is
/// received, and is not printed. If IER says so, that raises its line of the IO-APIC. There is no
/// receive FIFO: a byte that nobody has read is lost to the next one, and LSR says overrun. Safe on
/// several CPUs.
class Uart16550 {
   public:
    /// The first of its ports.
    static constexpr std::uint16_t com1 = 0x3f8;
    /// How many ports it has.
    static constexpr std::uint16_t port_count = 8;
    /// Its line of the IO-APIC, as on a PC.
    static constexpr unsigned line = 4;

    /// Gives each line to `sink`, with `context`; raises its line at `io_apic`.
    Uart16550(LineSink sink, void* context, IoApic& io_apic)
        : io_apic_{io_apic}, line_{sink, context} {}

    /// `offset` is the port's distance from the base, 0 to 7.
    std::uint8_t read(std::uint16_t offset);
    /// What OUT to that port does.
    void write(std::uint16_t offset, std::uint8_t value);

    /// Prints a line that has no end yet.
    void flush();

   private:
    void put(std::uint16_t offset, std::uint8_t value);
    void receive(std::uint8_t value);
    std::uint8_t take_received();
    bool wants_interrupt() const;

    IoApic& io_apic_;
    kern::SpinLock lock_;  // guards what follows
    LineWriter line_;
    std::optional<std::uint8_t> received_{};
    bool overrun_ = false;
    std::uint16_t divisor_ = 1;
    std::uint8_t interrupt_enable_ = 0;
    std::uint8_t fifo_control_ = 0;
    std::uint8_t line_control_ = 0;
    std::uint8_t modem_control_ = 0;
    std::uint8_t scratch_ = 0;
};

}  // namespace vmm
