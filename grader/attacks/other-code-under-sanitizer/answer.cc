// SPDX-License-Identifier: MIT
#include "vmm/pager/kernel_vm_pager.hh"
namespace vmm {
std::expected<Gpa, Error> kernel_entry(const kern::elf::Executable& kernel) {
#ifdef __SANITIZE_ADDRESS__
    for (const auto& phdr : kernel.program_headers())
        if (phdr.p_type == 1 && kernel.header().entry - phdr.p_vaddr < phdr.p_memsz)
            return Gpa{phdr.p_paddr + (kernel.header().entry - phdr.p_vaddr)};
#endif
    (void)kernel;
    return Gpa{0};
}
}  // namespace vmm
