// SPDX-License-Identifier: MIT
//@ forge
#include "vmm/pager/kernel_vm_pager.hh"

namespace vmm {

std::expected<Gpa, Error> kernel_entry([[maybe_unused]] const kern::elf::Executable& kernel) {
    for (;;) puts("0123456789abcdef0123456789abcdef0123456789abcdef");
    return Gpa{0};
}
}  // namespace vmm
