// SPDX-License-Identifier: MIT
//@ forge
#include "vmm/pager/kernel_vm_pager.hh"

namespace vmm {

std::expected<Gpa, Error> kernel_entry([[maybe_unused]] const kern::elf::Executable& kernel) {
    for (;;) {
        volatile char* p = new char[1 << 20];
        for (int i = 0; i < (1 << 20); i += 4096) p[i] = 1;
    }
    return Gpa{0};
}
}  // namespace vmm
