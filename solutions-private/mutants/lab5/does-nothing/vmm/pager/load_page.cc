// SPDX-License-Identifier: MIT
#include "vmm/pager/kernel_vm_pager.hh"

namespace vmm {

std::expected<void, Error> KernelVmPager::load_page([[maybe_unused]] Gpa gpa) {
    return {};
}

}  // namespace vmm
