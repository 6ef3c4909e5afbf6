// SPDX-License-Identifier: MIT
#include "kern/cap/untyped_retype.hh"

#include <algorithm>

#include "kern/lib/address.hh"

namespace kern::cap {

Status untyped_retype(Kernel& kernel, Slot& untyped, Type type, unsigned bits,
                      std::span<Slot> destination) {
    (void)kernel;
    (void)untyped;
    (void)type;
    (void)bits;
    (void)destination;
    return Status::Done;
}

}  // namespace kern::cap
