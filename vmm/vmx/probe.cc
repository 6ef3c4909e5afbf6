// SPDX-License-Identifier: MIT
#include "vmm/probe.hh"

#include "vmm/vmx/exits.hh"
#include "vmm/vmx/vcpu.hh"
#include "vmm/vmx/vmx.hh"

namespace vmm::vmx {

extern "C" std::uint64_t vmx_bare_loop(std::uint64_t count, std::uint64_t rewind,
                                       std::uint64_t rax);

namespace {

constexpr std::uint64_t longest_timer = 0xffff'ffff;

void run(VcpuBackend& vcpu, std::uint64_t count, bool rewind) {
    CurrentVmcs vmcs;
    // Nothing but the guest ends its run.
    const std::uint64_t pin = vmcs.read(Field::pin_based_controls);
    const std::uint64_t timer = vmcs.read(Field::preemption_timer_value);
    const std::uint64_t host_rip = vmcs.read(Field::host_rip);
    vmcs.write(Field::pin_based_controls,
               pin & ~std::uint64_t{pin_control::external_interrupt_exiting});
    vmcs.write(Field::preemption_timer_value, longest_timer);
    vcpu.registers.rax =
        vmx_bare_loop(count, rewind ? vmcs.read(Field::guest_rip) : 0, vcpu.registers.rax);
    vmcs.write(Field::host_rip, host_rip);
    vmcs.write(Field::preemption_timer_value, timer);
    vmcs.write(Field::pin_based_controls, pin);
}

SwitchProbe& probe_in(VcpuBackend& vcpu) {
    return static_cast<VmxVcpu&>(vcpu).probe();
}

bool bare_run(VcpuBackend& vcpu) {
    run(vcpu, 1, false);
    return CurrentVmcs{}.read(Field::exit_reason) == exit_reason::ept_violation;
}

void bare_loop(VcpuBackend& vcpu, std::uint64_t count) {
    run(vcpu, count, true);
}

}  // namespace
}  // namespace vmm::vmx

namespace vmm {

const Probe vmx_probe{.of = vmx::probe_in, .bare_run = vmx::bare_run, .bare_loop = vmx::bare_loop};

}  // namespace vmm
