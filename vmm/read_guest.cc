// SPDX-License-Identifier: MIT
#include "vmm/read_guest.hh"

#include "vmm/vm.hh"

namespace vmm {

std::size_t read_guest(Vcpu& vcpu, Gva address, std::span<std::byte> out) {
    const SystemRegisters system = vcpu.backend().system_registers();
    return vcpu.vm().memory().read(
        address, {.cr0 = system.cr0, .cr3 = system.cr3, .cr4 = system.cr4, .efer = system.efer},
        out);
}

}  // namespace vmm
