// SPDX-License-Identifier: MIT
//@ wrong_kernel_entry

#include <string>
namespace lab {
std::string hex(std::uint64_t) {
    return "0";
}
}  // namespace lab
