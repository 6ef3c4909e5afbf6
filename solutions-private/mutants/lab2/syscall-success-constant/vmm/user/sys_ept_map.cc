// SPDX-License-Identifier: MIT
#include "vmm/user/system_calls.hh"

namespace vmm {

std::expected<void, Error> sys_ept_map(kern::Env&, kern::EnvId, kern::Uva, kern::EnvId, Gpa,
                                       std::uint64_t) {
    return {};
}

}  // namespace vmm
