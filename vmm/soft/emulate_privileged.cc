// SPDX-License-Identifier: MIT
// Hint: the contract stands above the declaration in vmm/soft/emulate_privileged.hh,
// the background and the mistakes to avoid in labs/lab6-software-virtualization/handout.md.
#include "vmm/soft/emulate_privileged.hh"

#include "kern/lib/todo.hh"

namespace vmm::soft {

std::expected<Forget, GuestFault> emulate_privileged(
    [[maybe_unused]] SoftCpu& cpu, [[maybe_unused]] const GuestMemory& memory,
    [[maybe_unused]] PortBus& ports, [[maybe_unused]] const SensitiveInstruction& instruction) {
    kern::todo("lab6.emulate_privileged");
}

}  // namespace vmm::soft
