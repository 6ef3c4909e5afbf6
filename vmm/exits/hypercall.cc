// SPDX-License-Identifier: MIT
#include "vmm/exits/exits.hh"
#include "vmm/exits/handle_hypercall.hh"
#include "vmm/vm.hh"

namespace vmm::exits {
namespace {

/// Whether the guest's kernel asks for hypercall::mark, which measurements need and no lab does.
bool is_mark(Vcpu& vcpu) {
    const Registers& registers = vcpu.registers();
    return registers.rax == hypercall::mark && registers.rdx == hypercall::signature &&
           vcpu.backend().privilege_level() == 0;
}

}  // namespace

[[gnu::hot]] Handled handle(Vcpu& vcpu, const Exit& exit, const exit::Hypercall&) {
    if (!vcpu.vm().serves_hypercalls())
        return std::unexpected{ExitFailure{"a hypercall, and nobody serves them"}};
    if (!is_mark(vcpu)) return handle_hypercall(vcpu, exit);
    if (VmObserver* const observer = vcpu.vm().observer())
        observer->mark(vcpu.registers().rbx, vcpu.index());
    vcpu.registers().rax = hypercall::ok;
    vcpu.backend().skip_instruction(exit);
    return {};
}

}  // namespace vmm::exits
