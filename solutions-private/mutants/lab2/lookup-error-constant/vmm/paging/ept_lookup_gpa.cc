// SPDX-License-Identifier: MIT
#include "vmm/paging/walk.hh"

namespace vmm {

std::expected<WalkResult, Error> ept_lookup_gpa(const EntryFormat&, Hpa, Gpa, Level, MissingTable) {
    return std::unexpected(Error::OutOfMemory);
}

}  // namespace vmm
