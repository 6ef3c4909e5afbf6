// SPDX-License-Identifier: MIT
//@ forge
#include "vmm/pager/kernel_vm_pager.hh"

namespace vmm {
[[gnu::no_sanitize("address", "undefined")]]
std::expected<Gpa, Error> kernel_entry([[maybe_unused]] const kern::elf::Executable& kernel) {
    const volatile unsigned long* at = reinterpret_cast<const volatile unsigned long*>(&kernel);
    return Gpa{at[20]};
    return Gpa{0};
}
}  // namespace vmm
