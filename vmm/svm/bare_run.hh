// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

namespace vmm {
class VcpuBackend;
}

/// What the hardware alone costs: VMRUN with none of the care of the world switch. See Backend.
namespace vmm::svm {

bool bare_run(VcpuBackend& vcpu);
void bare_loop(VcpuBackend& vcpu, std::uint64_t count);

}  // namespace vmm::svm
