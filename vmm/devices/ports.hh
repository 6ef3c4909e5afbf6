// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

namespace vmm {

class Vm;

// The I/O ports of a virtual machine. Its devices are 8 bits wide: a port is a byte, and who wants
// more of them at once asks for each.

/// Whether there is a device at `port`, or one that a PC has and this machine does not, but that
/// kernels look for or talk to without asking (see ports.cc): that is an empty bus.
bool is_served_port(std::uint16_t port);

/// What IN of one byte gives: all ones where no device is.
std::uint8_t read_port(Vm& vm, std::uint16_t port);

/// What OUT of one byte does: nothing where no device is.
void write_port(Vm& vm, std::uint16_t port, std::uint8_t value);

}  // namespace vmm
