// SPDX-License-Identifier: MIT
// Hint: the contract stands above the declaration in vmm/soft/shadow_fill.hh,
// the background and the mistakes to avoid in labs/lab6-software-virtualization/handout.md.
#include "vmm/soft/shadow_fill.hh"

#include "kern/lib/todo.hh"

namespace vmm::soft {

Filled shadow_fill([[maybe_unused]] const SoftCpu& cpu, [[maybe_unused]] const GuestMemory& memory,
                   [[maybe_unused]] Shadows& shadows, [[maybe_unused]] Gva address,
                   [[maybe_unused]] const GuestAccess& access) {
    kern::todo("lab6.shadow_fill");
}

}  // namespace vmm::soft
