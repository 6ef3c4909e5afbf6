// SPDX-License-Identifier: MIT
// Writes to a constant.
#include <cstdint>

extern "C" {
extern const std::uint64_t constant;
const std::uint64_t constant = 42;
}

extern "C" void main() {
    *const_cast<volatile std::uint64_t*>(&constant) = 43;
}
