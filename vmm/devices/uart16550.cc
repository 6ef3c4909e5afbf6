// SPDX-License-Identifier: MIT
#include "vmm/devices/uart16550.hh"

#include <utility>

#include "vmm/devices/io_apic.hh"

namespace vmm {
namespace {

// Register offsets [16550D table 2]; the first two are the divisor while LCR.DLAB is set.
enum : std::uint16_t {
    data = 0,
    interrupt_enable = 1,
    interrupt_identification = 2,  // written: FIFO control
    line_control = 3,
    modem_control = 4,
    line_status = 5,
    modem_status = 6,
    scratch = 7,
};

constexpr std::uint8_t divisor_latch_access = 0x80;  // LCR
constexpr std::uint8_t loopback = 0x10;              // MCR
constexpr std::uint8_t modem_control_bits = 0x1f;
constexpr std::uint8_t interrupt_enable_bits = 0x0f;
constexpr std::uint8_t received_data = 0x01;               // IER
constexpr std::uint8_t fifo_enable = 0x01;                 // FCR
constexpr std::uint8_t no_interrupt = 0x01;                // IIR
constexpr std::uint8_t received_interrupt = 0x04;          // IIR
constexpr std::uint8_t fifos_enabled = 0xc0;               // IIR
constexpr std::uint8_t transmitter_empty = 0x60;           // LSR: THRE and TEMT
constexpr std::uint8_t data_ready = 0x01, overrun = 0x02;  // LSR
constexpr std::uint8_t connected = 0xb0;                   // MSR: DCD, DSR, CTS

/// In loopback the four modem outputs come back as inputs: DTR, RTS, OUT1, OUT2 as DSR, CTS, RI,
/// DCD.
constexpr std::uint8_t looped_back(std::uint8_t control) {
    return static_cast<std::uint8_t>((control & 0x01) << 5 | (control & 0x02) << 3 |
                                     (control & 0x04) << 4 | (control & 0x08) << 4);
}
static_assert(looped_back(0x0f) == 0xf0 && looped_back(0x01) == 0x20 && looped_back(0x08) == 0x80);

constexpr std::uint16_t with_low(std::uint16_t value, std::uint8_t low) {
    return static_cast<std::uint16_t>((value & 0xff00) | low);
}
constexpr std::uint16_t with_high(std::uint16_t value, std::uint8_t high) {
    return static_cast<std::uint16_t>((value & 0x00ff) | high << 8);
}

}  // namespace

std::uint8_t Uart16550::read(std::uint16_t offset) {
    const kern::LockGuard guard{lock_};
    const bool divisor = (line_control_ & divisor_latch_access) != 0;
    switch (offset) {
        case data: return divisor ? static_cast<std::uint8_t>(divisor_) : take_received();
        case interrupt_enable:
            return divisor ? static_cast<std::uint8_t>(divisor_ >> 8) : interrupt_enable_;
        case interrupt_identification:
            return static_cast<std::uint8_t>(
                ((fifo_control_ & fifo_enable) != 0 ? fifos_enabled : 0) |
                (wants_interrupt() ? received_interrupt : no_interrupt));
        case line_control: return line_control_;
        case modem_control: return modem_control_;
        case line_status:
            return static_cast<std::uint8_t>(transmitter_empty | (received_ ? data_ready : 0) |
                                             (std::exchange(overrun_, false) ? overrun : 0));
        case modem_status:
            return (modem_control_ & loopback) != 0 ? looped_back(modem_control_) : connected;
        case scratch: return scratch_;
        default: return 0xff;
    }
}

void Uart16550::write(std::uint16_t offset, std::uint8_t value) {
    bool raises = false;
    {
        const kern::LockGuard guard{lock_};
        const bool wanted = wants_interrupt();
        put(offset, value);
        raises = !wanted && wants_interrupt();
    }
    if (raises) io_apic_.raise(line);
}

void Uart16550::put(std::uint16_t offset, std::uint8_t value) {
    const bool divisor = (line_control_ & divisor_latch_access) != 0;
    switch (offset) {
        case data:
            if (divisor)
                divisor_ = with_low(divisor_, value);
            else if ((modem_control_ & loopback) != 0)
                receive(value);
            else
                line_.put(static_cast<char>(value));
            break;
        case interrupt_enable:
            if (divisor)
                divisor_ = with_high(divisor_, value);
            else
                interrupt_enable_ = value & interrupt_enable_bits;
            break;
        case interrupt_identification: fifo_control_ = value; break;
        case line_control: line_control_ = value; break;
        case modem_control: modem_control_ = value & modem_control_bits; break;
        case scratch: scratch_ = value; break;
        default: break;  // the status registers cannot be written
    }
}

void Uart16550::receive(std::uint8_t value) {
    if (received_) overrun_ = true;
    received_ = value;
}

/// The byte that was received; 0 if there is none.
std::uint8_t Uart16550::take_received() {
    return std::exchange(received_, std::nullopt).value_or(0);
}

bool Uart16550::wants_interrupt() const {
    return received_.has_value() && (interrupt_enable_ & received_data) != 0;
}

void Uart16550::flush() {
    const kern::LockGuard guard{lock_};
    line_.flush();
}

}  // namespace vmm
