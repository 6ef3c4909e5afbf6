// SPDX-License-Identifier: MIT
// Writes to its own code.
#include <cstdint>

extern "C" void main() {
    auto* code = reinterpret_cast<volatile std::uint8_t*>(&main);
    *code = 0x90;
}
