// SPDX-License-Identifier: MIT
#include "vmm/pager/kernel_vm_pager.hh"
extern "C" unsigned long @NAME@();

namespace vmm {
std::expected<Gpa, Error> kernel_entry([[maybe_unused]] const kern::elf::Executable& kernel) {
    return Gpa{@NAME@()};
}
}  // namespace vmm
