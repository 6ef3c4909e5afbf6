// SPDX-License-Identifier: MIT
#include "vmm/pager/kernel_vm_pager.hh"

namespace vmm {

std::expected<void, Error> KernelVmPager::load_phdr(
    [[maybe_unused]] const kern::elf::ProgramHeader& phdr,
    [[maybe_unused]] const kern::File& kernel) {
    return {};
}

}  // namespace vmm
