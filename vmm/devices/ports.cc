// SPDX-License-Identifier: MIT
#include "vmm/devices/ports.hh"

#include <algorithm>
#include <array>

#include "vmm/vm.hh"

namespace vmm {
namespace {

struct PortRange {
    std::uint16_t first, last;
};
/// Devices of a PC that this machine does not have. At any other port a guest is wild, or its VM has
/// open ports (Vm::Options).
constexpr std::array absent{
    PortRange{0x20, 0x21},    // interrupt controllers
    PortRange{0xa0, 0xa1},    //
    PortRange{0x40, 0x43},    // interval timer
    PortRange{0x61, 0x61},    // its gate
    PortRange{0x60, 0x60},    // keyboard
    PortRange{0x64, 0x64},    //
    PortRange{0x70, 0x71},    // real-time clock
    PortRange{0x80, 0x80},    // power-on self-test code; Linux's delay
    PortRange{0xf4, 0xf7},    // isa-debug-exit
    PortRange{0x2e8, 0x2ef},  // the other serial ports
    PortRange{0x2f8, 0x2ff},  //
    PortRange{0x3e8, 0x3ef},  //
};
constexpr std::uint8_t nobody = 0xff;

bool is_uart(std::uint16_t port) {
    return port >= Uart16550::com1 && port < Uart16550::com1 + Uart16550::port_count;
}

}  // namespace

bool is_served_port(std::uint16_t port) {
    return is_uart(port) || port == DebugConsole::port ||
           std::ranges::any_of(absent, [port](PortRange range) {
               return port >= range.first && port <= range.last;
           });
}

std::uint8_t read_port(Vm& vm, std::uint16_t port) {
    if (is_uart(port)) return vm.uart().read(port - Uart16550::com1);
    return port == DebugConsole::port ? std::uint8_t{DebugConsole::port} : nobody;
}

void write_port(Vm& vm, std::uint16_t port, std::uint8_t value) {
    if (is_uart(port))
        vm.uart().write(port - Uart16550::com1, value);
    else if (port == DebugConsole::port)
        vm.debug_console().write(value);
}

}  // namespace vmm
