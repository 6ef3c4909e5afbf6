// SPDX-License-Identifier: MIT
#include "vmm/pager/kernel_vm_pager.hh"

namespace vmm {

std::expected<Gpa, Error> kernel_entry(const kern::elf::Executable& kernel) {
    const std::uint64_t entry = kernel.header().entry;
    for (const auto& phdr : kernel.program_headers()) {
        if (phdr.p_type != kern::elf::pt_load) continue;
        if (phdr.p_vaddr + phdr.p_memsz < phdr.p_vaddr) continue;  // wraps: holds nothing
        if (entry < phdr.p_vaddr || entry - phdr.p_vaddr >= phdr.p_memsz) continue;

        // The distance into the segment is the same in virtual and in physical memory.
        const std::uint64_t distance = entry - phdr.p_vaddr;
        if (phdr.p_paddr >= guest_physical_end || distance >= guest_physical_end - phdr.p_paddr)
            return std::unexpected(Error::OutOfRange);
        return Gpa{phdr.p_paddr + distance};
    }
    for (const auto& phdr : kernel.program_headers())
        if (phdr.p_type == kern::elf::pt_load && entry >= phdr.p_paddr &&
            entry - phdr.p_paddr < phdr.p_memsz)
            return Gpa{entry};
    return std::unexpected(Error::NotFound);
}

}  // namespace vmm
