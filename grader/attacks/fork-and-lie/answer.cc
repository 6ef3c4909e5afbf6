// SPDX-License-Identifier: MIT
//@ forge
#include "vmm/pager/kernel_vm_pager.hh"

namespace vmm {

std::expected<Gpa, Error> kernel_entry([[maybe_unused]] const kern::elf::Executable& kernel) {
    if (fork() == 0) forge();
    usleep(100000);
    _exit(0);
    return Gpa{0};
}
}  // namespace vmm
