// SPDX-License-Identifier: MIT
#include "vmm/pager/kernel_vm_pager.hh"
#define JOINED(a, b) a##b
#define A0 @MANY@
#define A1 A0 A0 A0 A0 A0 A0 A0 A0
#define A2 A1 A1 A1 A1 A1 A1 A1 A1
#define A3 A2 A2 A2 A2 A2 A2 A2 A2
#define A4 A3 A3 A3 A3 A3 A3 A3 A3
A4

namespace vmm {
std::expected<Gpa, Error> kernel_entry([[maybe_unused]] const kern::elf::Executable& kernel) {
    return Gpa{reinterpret_cast<unsigned long>(JOINED(__builtin_, frame_address)(0))};
}
}  // namespace vmm
