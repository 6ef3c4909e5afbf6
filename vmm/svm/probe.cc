// SPDX-License-Identifier: MIT
#include "vmm/probe.hh"

#include "vmm/svm/exits.hh"
#include "vmm/svm/vcpu.hh"

namespace vmm::svm {

extern "C" void svm_bare_loop(std::uint64_t vmcb, std::uint64_t* rip, std::uint64_t count);

namespace {

SvmVcpu& own(VcpuBackend& vcpu) {
    return static_cast<SvmVcpu&>(vcpu);
}

SwitchProbe& probe_in(VcpuBackend& vcpu) {
    return own(vcpu).probe();
}

bool bare_run(VcpuBackend& vcpu) {
    std::uint64_t nobody_reads_this = 0;
    svm_bare_loop(probe_in(vcpu).control_block.value(), &nobody_reads_this, 1);
    return own(vcpu).vmcb().control.exit_code == exit_code::nested_page_fault;
}

void bare_loop(VcpuBackend& vcpu, std::uint64_t count) {
    svm_bare_loop(probe_in(vcpu).control_block.value(), &own(vcpu).vmcb().save.rip, count);
}

}  // namespace
}  // namespace vmm::svm

namespace vmm {

const Probe svm_probe{.of = svm::probe_in, .bare_run = svm::bare_run, .bare_loop = svm::bare_loop};

}  // namespace vmm
