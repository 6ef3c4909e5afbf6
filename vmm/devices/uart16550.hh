// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "kern/sync/spin_lock.hh"

namespace vmm {

/// The transmitting half of a 16550 UART: enough for a driver that polls [16550D data sheet].
/// Nothing is ever received, and it raises no interrupt. What the guest sends is printed by whole
/// lines, with the VM's name before them. Safe on several CPUs.
class Uart16550 {
   public:
    /// Takes each line, without its end.
    using LineSink = void (*)(void* context, std::string_view line);

    static constexpr std::uint16_t com1 = 0x3f8;
    static constexpr std::uint16_t port_count = 8;
    /// Longer lines are cut into pieces of this many characters.
    static constexpr std::size_t line_limit = 200;

    Uart16550(LineSink sink, void* context) : sink_{sink}, context_{context} {}

    /// `offset` is the port's distance from the base, 0 to 7.
    std::uint8_t read(std::uint16_t offset);
    void write(std::uint16_t offset, std::uint8_t value);

    /// Prints a line that has no end yet.
    void flush();

   private:
    struct Line {
        std::array<char, line_limit> text;
        std::size_t length = 0;
    };
    bool append(char character);  // true: line_ is complete
    void emit(const Line& line);

    LineSink sink_;
    void* context_;
    kern::SpinLock lock_;  // guards what follows
    Line line_{};
    std::uint16_t divisor_ = 1;
    std::uint8_t interrupt_enable_ = 0;
    std::uint8_t fifo_control_ = 0;
    std::uint8_t line_control_ = 0;
    std::uint8_t modem_control_ = 0;
    std::uint8_t scratch_ = 0;
};

}  // namespace vmm
