// SPDX-License-Identifier: MIT
#include "vmm/svm/bare_run.hh"

#include "kern/arch/arch.hh"
#include "vmm/backend.hh"
#include "vmm/svm/exits.hh"
#include "vmm/svm/vmcb.hh"

namespace vmm::svm {

extern "C" void svm_bare_loop(std::uint64_t vmcb, std::uint64_t* rip, std::uint64_t count);

namespace {

Vmcb& vmcb_at(Hpa address) {
    return *reinterpret_cast<Vmcb*>(kern::arch::direct_map(address));
}

}  // namespace

bool bare_run(VcpuBackend& vcpu) {
    const Hpa vmcb = vcpu.control_block();
    std::uint64_t nobody_reads_this = 0;
    svm_bare_loop(vmcb.value(), &nobody_reads_this, 1);
    return vmcb_at(vmcb).control.exit_code == exit_code::nested_page_fault;
}

void bare_loop(VcpuBackend& vcpu, std::uint64_t count) {
    const Hpa vmcb = vcpu.control_block();
    svm_bare_loop(vmcb.value(), &vmcb_at(vmcb).save.rip, count);
}

}  // namespace vmm::svm
