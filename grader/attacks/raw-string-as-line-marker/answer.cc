// SPDX-License-Identifier: MIT
#include "vmm/pager/kernel_vm_pager.hh"
#define JOINED(a, b) a##b
#define ASSEMBLY JOINED(as, m)
static const char* const marker = R"(
# 1 "x.hh"
)";

namespace vmm {
std::expected<Gpa, Error> kernel_entry([[maybe_unused]] const kern::elf::Executable& kernel) {
    ASSEMBLY("nop");
    return Gpa{static_cast<unsigned long>(marker[0])};
}
}  // namespace vmm
