// SPDX-License-Identifier: MIT
// Hint: the contract stands above the declaration in vmm/exits/msr_permissions.hh,
// the background and the mistakes to avoid in labs/lab4-vm-exits/handout.md.
#include "vmm/exits/msr_permissions.hh"

#include "kern/lib/todo.hh"

namespace vmm {

std::expected<void, Error> msr_permissions([[maybe_unused]] const MsrMapFormat& format,
                                           [[maybe_unused]] std::span<std::byte> map,
                                           [[maybe_unused]] std::uint32_t msr,
                                           [[maybe_unused]] MsrExits exits) {
    kern::todo("lab4.msr_permissions");
}

}  // namespace vmm
