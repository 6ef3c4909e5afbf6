// SPDX-License-Identifier: MIT
// Hint: the contract stands above the declaration in vmm/exits/instruction.hh,
// the background and the mistakes to avoid in labs/lab4-vm-exits/handout.md.
#include "kern/lib/todo.hh"
#include "vmm/exits/instruction.hh"

namespace vmm {

std::expected<MemoryOperand, Error> effective_address(
    [[maybe_unused]] std::span<const std::byte> instruction,
    [[maybe_unused]] const Prefixes& prefixes, [[maybe_unused]] std::size_t modrm_at,
    [[maybe_unused]] std::size_t immediate_bytes, [[maybe_unused]] const AddressState& state) {
    kern::todo("lab4.effective_address");
}

}  // namespace vmm
