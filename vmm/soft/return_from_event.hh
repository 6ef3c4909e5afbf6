// SPDX-License-Identifier: MIT
#pragma once

#include <expected>

#include "vmm/soft/descriptors.hh"
#include "vmm/soft/soft_cpu.hh"

namespace vmm::soft {

/// Does IRET in the guest's place (task lab6.return_from_event).
///
/// At ESP are EIP, CS and EFLAGS, 4 bytes each; if CS has RPL 3 and the guest's ring is 0, ESP and
/// SS as well. They are read with the rights of the guest's ring. Of CS and SS 2 bytes count.
///
/// **CS** must not be null: \#GP(0). It must have RPL 0 or 3, not less than the guest's CPL, and
/// lead to code that is not conforming, with DPL = RPL: else \#GP(selector). Not present:
/// \#NP(selector). **SS**, where it is read, must not be null: \#GP(0). It must have RPL 3 and lead
/// to writable data with DPL 3: else \#GP(selector). Not present: \#SS(selector). Bit VM of EFLAGS
/// must be 0: \#GP(0). Where several are wrong, any one of them is reported.
///
/// If nothing is wrong: the guest's ring is CS's RPL; EIP, CS, ESP and SS are the new ones, and
/// without a new stack ESP moves by 12. The `program_flags` of RFLAGS become those of EFLAGS. **The
/// guest's IF does so only if its ring was 0**: a program must not turn interrupts off by an IRET
/// of its own. IOPL stays 0, whatever EFLAGS says. No interrupt shadow is there any more.
///
/// If something is wrong, nothing has changed, and the guest's ring gets the fault at this IRET.
/// A real CPU also makes data segments null that ring 3 may not have; this one leaves them.
///
/// @param cpu     the guest's CPU
/// @param memory  the guest's
/// @note Source: [amd/vol3 3, IRET], [amd/vol2 8.9.3].
std::expected<void, GuestFault> return_from_event(SoftCpu& cpu, const GuestMemory& memory);

}  // namespace vmm::soft
