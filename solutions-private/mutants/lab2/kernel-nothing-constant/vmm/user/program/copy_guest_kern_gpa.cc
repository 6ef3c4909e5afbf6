// SPDX-License-Identifier: MIT
#include "vmm/user/program/vmm.hh"

namespace user {

std::int64_t copy_guest_kern_gpa(std::int64_t, std::string_view) {
    return 0;
}

}  // namespace user
