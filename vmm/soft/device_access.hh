// SPDX-License-Identifier: MIT
#pragma once

#include "vmm/devices/mmio_bus.hh"
#include "vmm/exits/walk_guest.hh"
#include "vmm/soft/soft_cpu.hh"

namespace vmm::soft {

/// Does the guest's access to a device's register in memory: a load or a store of 4 bytes, which
/// all registers of an APIC have. EIP goes behind the instruction.
///
/// @param cpu      the guest's CPU, whose tables allow the access
/// @param memory   the guest's
/// @param mmio     its devices; the access is that of vCPU 0
/// @param address  what is accessed: a linear address
/// @param access   how
/// @return whether it was done. If not, nothing has changed: no device is there, it has no such
/// register, or the instruction is another one.
bool access_device(SoftCpu& cpu, const GuestMemory& memory, const MmioBus& mmio, Gva address,
                   const GuestAccess& access);

}  // namespace vmm::soft
