// SPDX-License-Identifier: MIT
// Hint: the contract stands above the declaration in vmm/soft/rewrite_sensitive.hh,
// the background and the mistakes to avoid in labs/lab6-software-virtualization/handout.md.
#include "vmm/soft/rewrite_sensitive.hh"

#include "kern/lib/todo.hh"

namespace vmm::soft {

std::expected<void, Error> rewrite_sensitive([[maybe_unused]] std::span<std::byte> text,
                                             [[maybe_unused]] std::uint32_t address,
                                             [[maybe_unused]] std::span<const SiteNote> notes,
                                             [[maybe_unused]] Sites& sites) {
    kern::todo("lab6.rewrite_sensitive");
}

}  // namespace vmm::soft
