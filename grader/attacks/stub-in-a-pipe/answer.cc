// SPDX-License-Identifier: MIT
#include "vmm/pager/kernel_vm_pager.hh"
#include "kern/lib/print.hh"
#include "kern/lib/todo.hh"

namespace vmm {
std::expected<Gpa, Error> kernel_entry([[maybe_unused]] const kern::elf::Executable& kernel) {
    kern::kprint("TODO lab1.elf_decode: /proc/self/fd:1 is not written yet\n");
    kern::todo("lab5.kernel_entry");
}
}  // namespace vmm
