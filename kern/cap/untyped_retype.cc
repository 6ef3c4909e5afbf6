// SPDX-License-Identifier: MIT
// Hint: the contract stands above the declaration in kern/cap/untyped_retype.hh,
// the background and the mistakes to avoid in labs/lab8-microkernel/handout.md.
#include "kern/cap/untyped_retype.hh"

#include "kern/lib/todo.hh"

namespace kern::cap {

Status untyped_retype([[maybe_unused]] Kernel& kernel, [[maybe_unused]] Slot& untyped,
                      [[maybe_unused]] Type type, [[maybe_unused]] unsigned bits,
                      [[maybe_unused]] std::span<Slot> destination) {
    kern::todo("lab8.untyped_retype");
}

}  // namespace kern::cap
