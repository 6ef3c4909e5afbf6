// SPDX-License-Identifier: MIT
#include "vmm/pager/kernel_vm_pager.hh"

namespace vmm {
std::expected<Gpa, Error> kernel_entry([[maybe_unused]] const kern::elf::Executable& kernel) {
    const char* a = R"( A )\
" B )"; asm("nop"); const char* b = R"( C )";
    return Gpa{static_cast<unsigned long>(*a + *b)};
}
}  // namespace vmm
