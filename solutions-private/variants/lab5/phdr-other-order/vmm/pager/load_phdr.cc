// SPDX-License-Identifier: MIT
#include "vmm/pager/kernel_vm_pager.hh"

namespace vmm {

std::expected<void, Error> KernelVmPager::load_phdr(const kern::elf::ProgramHeader& phdr,
                                                    const kern::File& kernel) {
    if (phdr.p_filesz > phdr.p_memsz) return std::unexpected(Error::BadFormat);
    if (phdr.p_memsz == 0) return {};

    // Compared by subtraction: the sums may wrap.
    if (phdr.p_offset > kernel.size() || phdr.p_filesz > kernel.size() - phdr.p_offset)
        return std::unexpected(Error::Truncated);
    if (phdr.p_paddr >= guest_physical_end || phdr.p_memsz > guest_physical_end - phdr.p_paddr)
        return std::unexpected(Error::OutOfRange);

    const Gpa begin{phdr.p_paddr};
    const Gpa file_end = begin + phdr.p_filesz;
    const Gpa end = begin + phdr.p_memsz;
    if (begin < mmio_hole_end && mmio_hole_begin < end) return std::unexpected(Error::OutOfRange);
    if (loaders_.overlaps(begin, end)) return std::unexpected(Error::Overlap);

    if (begin < file_end) {
        auto added = loaders_.add(Loader::bytes_of(kernel, phdr.p_offset, begin, file_end));
        if (!added) return added;
    }
    if (file_end < end) {
        auto added = loaders_.add(Loader::zeros(file_end, end));
        if (!added) {
            // All or nothing. Taking out a whole loader never fails.
            (void)loaders_.remove(begin, file_end);
            return added;
        }
    }
    return {};
}

}  // namespace vmm
