// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <expected>

#include "vmm/address.hh"
#include "vmm/svm/asid.hh"
#include "vmm/svm/consistency.hh"
#include "vmm/x86.hh"

namespace vmm::svm {

/// See Backend.
const char* why_unavailable();
std::expected<void, Error> start();
std::expected<void, Error> enable_on_this_cpu();

// After start():

/// What this machine's CPUs allow in a VMCB.
const CpuLimits& cpu_limits();
/// Whether an exit says where the next instruction is (NRIPS).
bool has_next_rip();
/// This CPU's address-space identifiers.
AsidAllocator& asids_of_this_cpu();
/// Where the world switch puts this CPU's own VMSAVE state.
Hpa host_area_of_this_cpu();
/// The permission maps, which all VMs share.
Hpa io_map();
Hpa msr_map();

}  // namespace vmm::svm
