// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include "kern/sync/spin_lock.hh"
#include "vmm/devices/line_writer.hh"

namespace vmm {

/// The transmitting half of a 16550 UART: enough for a driver that polls [16550D data sheet].
/// Nothing is ever received, and it raises no interrupt. What the guest sends is printed by whole
/// lines, with the VM's name before them. Safe on several CPUs.
class Uart16550 {
   public:
    /// The first of its ports.
    static constexpr std::uint16_t com1 = 0x3f8;
    /// How many ports it has.
    static constexpr std::uint16_t port_count = 8;

    /// Gives each line to `sink`, with `context`.
    Uart16550(LineSink sink, void* context) : line_{sink, context} {}

    /// `offset` is the port's distance from the base, 0 to 7.
    std::uint8_t read(std::uint16_t offset);
    /// What OUT to that port does.
    void write(std::uint16_t offset, std::uint8_t value);

    /// Prints a line that has no end yet.
    void flush();

   private:
    kern::SpinLock lock_;  // guards what follows
    LineWriter line_;
    std::uint16_t divisor_ = 1;
    std::uint8_t interrupt_enable_ = 0;
    std::uint8_t fifo_control_ = 0;
    std::uint8_t line_control_ = 0;
    std::uint8_t modem_control_ = 0;
    std::uint8_t scratch_ = 0;
};

}  // namespace vmm
