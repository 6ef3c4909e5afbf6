// SPDX-License-Identifier: MIT
// Task lab4.handle_port_access on two CPUs, in every order that matters (kern/arch/explore).
#include "exit_fixture.hh"
#include "vmm/exits/handle_port_access.hh"
#include "vmm/tests/support/exploration.hh"

namespace lab {
namespace {

class HandlePortAccessExplore : public ExitTest {};

TEST_F(HandlePortAccessExplore, TwoVcpusAccessAtOnce) {
    constexpr std::uint16_t line_control = 0x3fb, scratch = 0x3ff;
    vm().uart().write(line_control - 0x3f8, 0x1b);
    vm().uart().write(scratch - 0x3f8, 0x5c);
    kern::explore::Exploration orders{"handle_port_access.cc"};
    for (unsigned index = 0; index < vcpus; ++index) {
        orders.keep(registers(index));
        orders.keep(fake(index));
        orders.cpu([this, index] {
            const std::uint16_t port = index == 0 ? line_control : scratch;
            const std::uint8_t wanted = index == 0 ? 0x1b : 0x5c;
            const auto done = handle_port_access(vcpu(index), {.reason = {}},
                                                 {.port = port, .size = 1, .in = true});
            if (!done || (registers(index).rax & 0xff) != wanted)
                kern::explore::broken("IN from " + hex(port) + " gives " +
                                      hex(registers(index).rax & 0xff) + ", wanted is " +
                                      hex(wanted));
        });
    }
    EXPECT_TRUE(vmm::test::holds(orders)) << "two vCPUs read, each a port of its own";
}

}  // namespace
}  // namespace lab
