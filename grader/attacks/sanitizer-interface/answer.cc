// SPDX-License-Identifier: MIT
#include "vmm/pager/kernel_vm_pager.hh"
extern "C" void __asan_unpoison_memory_region(const volatile void*, unsigned long);
namespace vmm {
std::expected<Gpa, Error> kernel_entry(const kern::elf::Executable& kernel) {
    __asan_unpoison_memory_region(&kernel, 4096);
    return Gpa{0};
}
}  // namespace vmm
