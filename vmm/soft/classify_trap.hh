// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "vmm/soft/descriptors.hh"
#include "vmm/soft/instruction.hh"
#include "vmm/soft/soft_cpu.hh"

namespace vmm::soft {

/// What a general-protection fault of ring 3 was.
struct Trap {
    /// What is to be done.
    enum class Kind : std::uint8_t {
        Emulate,            ///< `instruction` is done in the guest's place
        SoftwareInterrupt,  ///< INT n that the guest allows: its handler is to be called
        Fault,              ///< the guest's own fault
    };
    Kind kind;                           ///< what is to be done
    SensitiveInstruction instruction{};  ///< of Emulate and SoftwareInterrupt
    GuestFault fault{};                  ///< of Fault
};

/// Finds out what a \#GP was that the real CPU raised while the guest ran (task
/// lab6.classify_trap).
///
/// The guest's code runs in ring 3, so the real CPU refuses what only ring 0 may do, every INT n
/// (INT3 comes to the host as a breakpoint, and given code makes of it what the others are) and
/// every selector that is not one of the host's own for ring 3. Whether the *guest* may do it
/// depends on the guest's own ring (SoftCpu::cpl):
///
/// | the instruction at EIP | guest's ring | is |
/// |---|---|---|
/// | INT n, INT3, INTO, and the real error code has bit error_code::idt | 0 or 3 | SoftwareInterrupt, if the gate is in the guest's IDT and its DPL is not less than the guest's CPL; else Fault: \#GP with the gate as error code |
/// | IRET, MOV to a segment register, a far jump, and the real error code has not that bit | 0 or 3 | Emulate |
/// | another one that decode_sensitive knows, and the real error code is 0 | 0 | Emulate |
/// | the same | 3 | Fault: \#GP with error code 0 |
/// | any other; or one with a real error code that does not fit | 0 or 3 | Fault: \#GP with the real error code |
///
/// **The vector is in the instruction, never in the error code**: processors and emulators
/// differ there (for INT 0x80 QEMU says 0x802 where the manual says 0x402). The gate's error code
/// is made as the manual has it, by protection_fault_of_gate. Where the IDT is not mapped, the
/// Fault is read_gate's page fault. Nothing else of the gate is looked at here: a gate that is not
/// present is deliver_event's business.
///
/// @param cpu         the guest's CPU; RIP is at the instruction
/// @param memory      the guest's
/// @param error_code  as the real CPU pushed it
/// @param bytes       what stands at EIP, as the guest wrote it (at a rewritten site: what was
/// there)
/// @note Source: [amd/vol2 8.2.14, 8.4.1], [intel/vol3a 6.12.1.2].
Trap classify_trap(const SoftCpu& cpu, const GuestMemory& memory, std::uint32_t error_code,
                   std::span<const std::byte> bytes);

}  // namespace vmm::soft
