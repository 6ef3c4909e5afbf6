// SPDX-License-Identifier: MIT
#include <algorithm>
#include <array>
#include <optional>

#include "vmm/exits/exits.hh"
#include "vmm/vm.hh"

namespace vmm::exits {
namespace {

/// Devices of a PC that this machine does not have, but that kernels look for or talk to without
/// asking: they read as all ones, and writes go nowhere, as on an empty bus. Any other port that no
/// device serves does so only if the VM's ports are open (Vm::Options); else it ends the VM, so
/// that a wild guest is seen.
struct PortRange {
    std::uint16_t first, last;
};
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

bool is_absent(std::uint16_t port) {
    return std::ranges::any_of(
        absent, [port](PortRange range) { return port >= range.first && port <= range.last; });
}

bool is_uart(std::uint16_t port) {
    return port >= Uart16550::com1 && port < Uart16550::com1 + Uart16550::port_count;
}

std::optional<std::uint8_t> read_byte(Vm& vm, std::uint16_t port) {
    if (is_uart(port)) return vm.uart().read(port - Uart16550::com1);
    if (is_absent(port)) return nobody;
    return std::nullopt;
}

bool write_byte(Vm& vm, std::uint16_t port, std::uint8_t value) {
    if (is_uart(port)) vm.uart().write(port - Uart16550::com1, value);
    return is_uart(port) || is_absent(port);
}

/// RAX after IN: 8 and 16 bits leave the rest as it is, 32 bits clear the upper half.
std::uint64_t merge(std::uint64_t rax, std::uint32_t value, unsigned size) {
    if (size == 4) return value;
    const std::uint64_t mask = size == 1 ? 0xff : 0xffff;
    return (rax & ~mask) | (value & mask);
}

}  // namespace

Handled handle(Vcpu& vcpu, const Exit& exit, const exit::PortAccess& access) {
    if (access.string)
        return std::unexpected{ExitFailure{"INS or OUTS: this hypervisor has only IN and OUT"}};
    Registers& registers = vcpu.registers();
    // The devices are 8 bits wide: a wider access meets as many ports, as on the ISA bus. It is
    // served if one of them is; the others are an empty bus.
    bool is_served = vcpu.vm().has_open_ports();
    std::uint32_t value = 0;
    for (unsigned byte = 0; byte < access.size; ++byte) {
        const auto port = static_cast<std::uint16_t>(access.port + byte);
        if (access.in) {
            const auto read = read_byte(vcpu.vm(), port);
            is_served = is_served || read;
            value |= std::uint32_t{read.value_or(nobody)} << (8 * byte);
        } else {
            const auto written = static_cast<std::uint8_t>(registers.rax >> (8 * byte));
            is_served = write_byte(vcpu.vm(), port, written) || is_served;
        }
    }
    if (!is_served)
        return std::unexpected{ExitFailure{access.in ? "IN from a port that no device serves"
                                                     : "OUT to a port that no device serves"}};
    if (access.in) registers.rax = merge(registers.rax, value, access.size);
    vcpu.backend().skip_instruction(exit);
    return {};
}

}  // namespace vmm::exits
