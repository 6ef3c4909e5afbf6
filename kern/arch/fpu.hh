// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>

/// The registers of FPU, SSE and AVX. The kernel itself is compiled without them: whoever runs
/// other people's code moves them.
namespace kern::arch {

/// How many bytes save_fpu writes.
std::size_t fpu_state_size();
/// Puts this CPU's registers to `area`, aligned to 64 bytes: all components that the CPU has, for
/// which XCR0 must be as the kernel sets it at boot.
void save_fpu(std::byte* area);
/// Takes them from `area`, which save_fpu wrote, or which is zeros but for MXCSR and the control
/// word.
void load_fpu(const std::byte* area);
/// From now on each instruction of FPU, SSE and AVX is a \#NM on this CPU.
void forbid_fpu();

}  // namespace kern::arch
