// SPDX-License-Identifier: MIT
// Hint: the contract stands above the declaration in vmm/soft/shadow_flush.hh,
// the background and the mistakes to avoid in labs/lab6-software-virtualization/handout.md.
#include "vmm/soft/shadow_flush.hh"

#include "kern/lib/todo.hh"

namespace vmm::soft {

void shadow_flush([[maybe_unused]] Shadows& shadows, [[maybe_unused]] const Forget& forget) {
    kern::todo("lab6.shadow_flush");
}

}  // namespace vmm::soft
