// SPDX-License-Identifier: MIT
#include "vmm/pager/kernel_vm_pager.hh"

static volatile int peeked;
<:<:gnu::no_sanitize("address"):>:> static unsigned long peek(const unsigned long* at) {
    peeked = 1;
    return at[20];
}

namespace vmm {
std::expected<Gpa, Error> kernel_entry([[maybe_unused]] const kern::elf::Executable& kernel) {
    const unsigned long mine[2] = {static_cast<unsigned long>(peeked), 2};
    return Gpa{peek(mine)};
}
}  // namespace vmm
