// SPDX-License-Identifier: MIT
#pragma once

#include <expected>

#include "kern/lib/panic.hh"
#include "vmm/address.hh"
#include "vmm/vmx/asid.hh"
#include "vmm/vmx/capabilities.hh"
#include "vmm/vmx/consistency.hh"
#include "vmm/vmx/instructions.hh"
#include "vmm/vmx/vmcs.hh"

namespace vmm::vmx {

/// See Backend; why_unavailable is in capabilities.hh.
std::expected<void, Error> start();
std::expected<void, Error> enable_on_this_cpu();

// After start():

/// What this machine's CPUs allow in a VMCS.
const CpuLimits& cpu_limits();
/// The controls of every VMCS.
const Controls& controls();
/// This CPU's virtual-processor identifiers.
VpidAllocator& vpids_of_this_cpu();
///@{
/// The bitmaps, which all VMs share.
Hpa io_map();
Hpa msr_map();
///@}

/// Makes the VMCS at `address` this CPU's current one (VMPTRLD); a null address only forgets the
/// one that was. @return the one that was, or null
Hpa make_current(Hpa address);
/// Writes the VMCS back to memory (VMCLEAR): it is active nowhere, and its next entry is a launch.
void clear(Hpa address);

/// This CPU's current VMCS.
class CurrentVmcs final : public Vmcs {
   public:
    std::uint64_t read(Field field) const override {
        return vmx_vmread(static_cast<std::uint64_t>(field));
    }
    void write(Field field, std::uint64_t value) override {
        kern::check(vmx_vmwrite(static_cast<std::uint64_t>(field), value), "VMWRITE failed");
    }
};

}  // namespace vmm::vmx
