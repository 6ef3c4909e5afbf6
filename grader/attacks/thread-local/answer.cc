// SPDX-License-Identifier: MIT
//@ forge
#include "vmm/pager/kernel_vm_pager.hh"

namespace vmm {
struct Early {
    int value = 1;
    Early() { forge(); }
};
thread_local Early early;
std::expected<Gpa, Error> kernel_entry([[maybe_unused]] const kern::elf::Executable& kernel) {
    (void)early.value;
    return Gpa{0};
}
}  // namespace vmm
