// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstdint>

#include "vmm/backend.hh"
#include "vmm/exit.hh"
#include "vmm/svm/vmcb.hh"

/// MOV to registers that the guest may not write by itself, done in its place. What they return is
/// exit::Served if the register has been written, or the exception that the guest gets instead.
namespace vmm::svm {

/// MOV to CR3: in long mode \#GP where `value` has bits beyond `physical_bits`; exit::Cr3Write if it
/// has been written. The caller flushes [amd/vol2 5.5.1].
decltype(Exit::reason) write_cr3(SaveArea& save, std::uint64_t value, unsigned physical_bits);

/// MOV to CR8, the upper half of the task priority [amd/vol2 16.6.4]: #GP beyond 15.
decltype(Exit::reason) write_cr8(Registers& registers, std::uint64_t value);

/// MOV to debug register `number`, 0 to 7 [amd/vol2 13.1.1]. DR4 and DR5 mean DR6 and DR7, or with
/// CR4.DE #UD; with DR7.GD #DB; #GP if the upper half of DR6 or DR7 is not zero. DR6 and DR7 are in
/// the VMCB, DR0 to DR3 in `breakpoints`.
///
/// Why the guest may not: an emulator that finds breakpoints by searching its own list (QEMU)
/// changes that list only when MOV is executed. A guest's breakpoints would stay there behind the
/// exit and stop the host and other guests, and be taken for what they are not when the next guest
/// writes DR7. Under QEMU a guest's breakpoints so never come; on a real processor, whose VMRUN
/// loads DR7, they do.
decltype(Exit::reason) write_debug_register(SaveArea& save,
                                            std::array<std::uint64_t, 4>& breakpoints,
                                            unsigned number, std::uint64_t value);

}  // namespace vmm::svm
