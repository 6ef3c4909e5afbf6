// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

namespace guest {

/// Ends this VM with `status` (vmm/hypercall.hh). Any vCPU may call it.
extern "C" [[noreturn]] void exit_guest(std::uint64_t status);

}  // namespace guest
