// SPDX-License-Identifier: MIT
// Writes 0x12 to an address in page zero: the exercise's example of a page fault.
#include <cstdint>

extern "C" void main() {
    *reinterpret_cast<volatile std::uint32_t*>(0x234) = 0x12;
}
