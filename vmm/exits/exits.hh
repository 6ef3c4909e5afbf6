// SPDX-License-Identifier: MIT
#pragma once

#include "vmm/exit.hh"
#include "vmm/vcpu.hh"

namespace vmm {

/// Handles one exit of `vcpu`: afterwards it can run again, or its VM must end for the reason
/// returned. Called on the vCPU's CPU with interrupts enabled and no lock held.
Handled handle_exit(Vcpu& vcpu, const Exit& exit);

/// One handler for each reason of vmm::Exit; each is in a file of its own name where it is longer
/// than a few lines. handle_exit picks by the reason's place in the variant, so a reason without a
/// handler does not compile.
namespace exits {
Handled handle(Vcpu& vcpu, const Exit& exit, const exit::Unknown& reason);
Handled handle(Vcpu& vcpu, const Exit& exit, const exit::NestedPageFault& reason);
Handled handle(Vcpu& vcpu, const Exit& exit, const exit::PortAccess& reason);
Handled handle(Vcpu& vcpu, const Exit& exit, const exit::Cpuid& reason);
Handled handle(Vcpu& vcpu, const Exit& exit, const exit::MsrAccess& reason);
Handled handle(Vcpu& vcpu, const Exit& exit, const exit::Halt& reason);
Handled handle(Vcpu& vcpu, const Exit& exit, const exit::Hypercall& reason);
Handled handle(Vcpu& vcpu, const Exit& exit, const exit::ExternalInterrupt& reason);
Handled handle(Vcpu& vcpu, const Exit& exit, const exit::InterruptWindow& reason);
Handled handle(Vcpu& vcpu, const Exit& exit, const exit::Shutdown& reason);
Handled handle(Vcpu& vcpu, const Exit& exit, const exit::Exception& reason);
Handled handle(Vcpu& vcpu, const Exit& exit, const exit::IgnoredInstruction& reason);
Handled handle(Vcpu& vcpu, const Exit& exit, const exit::Cr3Write& reason);
Handled handle(Vcpu& vcpu, const Exit& exit, const exit::GuestPageFault& reason);
Handled handle(Vcpu& vcpu, const Exit& exit, const exit::Served& reason);
Handled handle(Vcpu& vcpu, const Exit& exit, const exit::EntryFailure& reason);
}  // namespace exits

}  // namespace vmm
