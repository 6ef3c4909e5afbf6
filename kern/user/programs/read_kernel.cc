// SPDX-License-Identifier: MIT
// Reads an address of the kernel: by `at=`, or where the kernel's image is.
#include <cstdint>

#include "kern/user/user.hh"

extern "C" void main() {
    const auto at = user::argument("at", 0xffff'ffff'8010'0000);
    (void)*reinterpret_cast<volatile std::uint8_t*>(at);
}
