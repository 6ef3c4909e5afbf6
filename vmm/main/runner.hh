// SPDX-License-Identifier: MIT
#pragma once

#include "kern/fs/file_system.hh"
#include "vmm/backend.hh"
#include "vmm/evidence.hh"
#include "vmm/main/held_device.hh"
#include "vmm/main/plan.hh"

namespace vmm {

/// Makes one virtual machine of the plan, runs it to its end, prints how it went and fills `record`
/// for who reads the evidence. Whatever the plan, the image or the guest is like, this returns.
/// @param files    the file system with the guest's image, on `device`
/// @param backend  for which Vm::prepare has succeeded
void run_virtual_machine(const VmPlan& plan, const kern::FileSystem& files, HeldDevice& device,
                         const Backend& backend, VmRecord& record);

}  // namespace vmm
