// SPDX-License-Identifier: MIT
#pragma once

#include "vmm/backend.hh"
#include "vmm/vmx/vmcs.hh"

namespace vmm::vmx {

/// Makes `event` happen at the next entry: the VM-entry interruption information and error code
/// [intel/vol3c 25.8.3]. In real mode no error code is pushed. An interrupt shadow ends.
void inject_event(Vmcs& vmcs, const Event& event);

/// Whether an event waits for the next entry. The CPU clears it when the entry has succeeded.
bool has_event(const Vmcs& vmcs);

/// After an exit that came while the CPU brought an event to the guest (IDT-vectoring information):
/// makes it happen again at the next entry, since it would be lost [intel/vol3c 28.2.4]. Software
/// interrupts and exceptions are left to the guest, whose RIP still points to them. Also restores
/// blocking by NMI if the exit came from an IRET that had ended it [intel/vol3c 28.2.3].
void keep_interrupted_event(Vmcs& vmcs);

/// After an exit of a guest that steps (RFLAGS.TF), outside of a shadow: whatever the pending debug
/// exceptions say, the instruction at RIP has not been executed yet, and there is no step to report.
/// Processors say so themselves [intel/vol3c 28.3.4]; Bochs does not.
void forget_unfinished_step(Vmcs& vmcs);

}  // namespace vmm::vmx
