// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "vmm/backend.hh"

namespace vmm {

/// What the world switch has seen of itself. Counts begin with the vCPU. It is a part of the guests'
/// evidence: grader/evidence/guests.py reads its layout.
struct SwitchAccount {
    std::uint64_t entries = 0;              ///< how often the guest was entered
    std::uint64_t clears = 0;               ///< Intel: VMCLEARs, each of which wants a launch
    std::uint64_t instruction_error = 0;    ///< Intel: the last VM-instruction error; 0: none
    std::uint64_t host_rsp_wanted = 0;      ///< Intel: the stack pointer at the last entry
    std::uint64_t host_rsp_found = 0;       ///< Intel: what VMREAD said of the host RSP field there
    std::uint64_t host_rsp_mismatches = 0;  ///< Intel: how often the two were not equal
    std::uint64_t kicks = 0;                ///< AMD: see SwitchProbe::kicks_at_entries
    std::uint64_t kicks_lost = 0;  ///< AMD: of these, taken where the guest does not see it
};

/// One vCPU's world switch, as tests and evidence see it from the side: what is wanted of it, and
/// what it has seen. It belongs to the CPU that runs the vCPU.
struct SwitchProbe {
    SwitchAccount account{};  ///< what it has seen
    Hpa control_block{};      ///< host-physical address of the VMCB (VMCS)
    /// A kick is already waiting at some of the entries, as if another CPU had sent it in the last
    /// moment. It must end the guest's run; one that is taken before is lost. At some others the
    /// number of request_return() is there and no kick: the guest must not be entered; if it is,
    /// that is lost too. And the guest's flags are not where the world switch should put them.
    /// Intel's cannot lose a kick, since interrupts are disabled in all of it.
    bool kicks_at_entries = false;
    /// Not 0: entry number so many, from 1, is one that the CPU refuses, since a control is invalid
    /// then (Intel: VM-instruction error 7). Intel: if that entry would be a launch and is not the
    /// first, it is the next one that is none; and a resume that is refused is the entry number
    /// 2^32 + 1 since VMCLEAR, by the count that the world switch looks at.
    std::uint64_t spoiled_entry = 0;

    /// Whether the next entry, or one that should have come before it, is to be refused.
    bool spoils_next_entry() const {
        return spoiled_entry != 0 && account.entries + 1 >= spoiled_entry;
    }
};

/// A vendor's hardware, for those who look at the hypervisor from the side and measure it. What a
/// hypervisor needs is in Backend.
struct Probe {
    /// That of a vCPU of this vendor's.
    SwitchProbe& (*of)(VcpuBackend& vcpu);

    // What the hardware alone costs, with none of the care of the world switch: with guests that
    // touch no register but RAX, on a CPU whose interrupts are disabled, between enter_cpu() and
    // leave_cpu() and after a first run().

    /// Runs the guest up to its next exit. Returns whether that was a fault in the second-level
    /// table.
    bool (*bare_run)(VcpuBackend& vcpu) = nullptr;
    /// Runs the guest `count` times, each time from where it stands now up to its next exit.
    void (*bare_loop)(VcpuBackend& vcpu, std::uint64_t count) = nullptr;
};

///@{
/// The vendors'.
extern const Probe svm_probe;
extern const Probe vmx_probe;
///@}

/// The one that goes with svm_backend or vmx_backend.
const Probe& probe_of(const Backend& backend);

}  // namespace vmm
