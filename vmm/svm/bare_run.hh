// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "vmm/address.hh"

/// What the hardware alone costs: VMRUN with none of the care of the world switch. For measurements
/// only, with guests that touch no register but RAX, on a CPU whose interrupts are disabled.
namespace vmm::svm {

/// Runs the guest of the VMCB at `vmcb` up to its next exit. The VMCB must have been run before, by
/// VcpuBackend::run on this CPU.
/// @return whether it exited by a nested page fault
bool bare_run(Hpa vmcb);

/// Runs that guest `count` times, each time from where it stands now up to its next exit.
void bare_loop(Hpa vmcb, std::uint64_t count);

}  // namespace vmm::svm
