// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <expected>

#include "vmm/soft/descriptors.hh"
#include "vmm/soft/instruction.hh"
#include "vmm/soft/port_bus.hh"
#include "vmm/soft/shadow_flush.hh"
#include "vmm/soft/soft_cpu.hh"

namespace vmm::soft {

/// Does one instruction in the guest's place (task lab6.emulate_privileged).
///
/// When it is done, EIP has moved behind it, modulo 2^32; of a far jump EIP is its target. If it
/// faults, only `interrupt_shadow` may have changed.
///
/// | kind | effect |
/// |---|---|
/// | Cli | IF becomes 0 |
/// | Sti | IF becomes 1; if it was 0, `interrupt_shadow` becomes true |
/// | Hlt | `halted` becomes true |
/// | Pushf | pushes EFLAGS as the guest's own CPU would: the `program_flags` of RFLAGS, bit 1 set, the guest's IF, all others 0 |
/// | Popf | pops EFLAGS: the `program_flags` of RFLAGS, and the guest's IF, become those of the value; all others stay |
/// | In | AL, AX or EAX becomes what PortBus::read says; the other bits of EAX stay |
/// | Out | PortBus::write gets AL, AX or EAX |
/// | MovFromControl | the register becomes CR0, CR2, CR3 or CR4 |
/// | MovToControl | see below |
/// | Invlpg | forgets the page of `address` |
/// | Lgdt, Lidt | reads 6 bytes at `address`: the limit in 2, then the base in 4 |
/// | Ltr | loads the TSS of the selector: its base and limit; its descriptor becomes busy (bit 1 of its type) in the guest's GDT |
/// | MovToSegment | loads the selector |
/// | MovFromSegment | the register becomes the guest's selector, with zeros above |
/// | FarJump | CS becomes the selector, with the guest's CPL for its RPL; EIP becomes the offset |
///
/// The instruction ends an `interrupt_shadow` that is there when it comes.
///
/// **Control registers.** CR0 without PE is \#GP(0): this CPU knows protected mode alone; so PG
/// without PE is too. Bit ET of CR0 is always 1. Any bit in CR4 is \#GP(0): PSE, PAE, PGE and the
/// others are not there. CR3 keeps bits 31 to 12, 4 and 3. Other numbers are \#UD, without an error
/// code.
/// What is to be forgotten: everything for a write to CR3, whatever the value, and for one to CR0
/// that changes PG or WP; nothing for the others.
///
/// **Selectors** are checked against the guest's GDT, by read_descriptor and its errors:
/// - MovToSegment of a null selector loads it, but for SS: \#GP(0).
/// - SS wants a writable data segment whose DPL, and the selector's RPL, are the guest's CPL: else
///   \#GP(selector). Not present: \#SS(selector).
/// - DS, ES, FS and GS want a data segment or code that can be read, whose DPL, unless it is
///   conforming code, is not less than CPL and not less than RPL: else \#GP(selector). Not present:
///   \#NP(selector).
/// - Ltr wants a TSS of 32 bits that is available: else \#GP(selector); of a null selector \#GP(0).
///   Not present: \#NP(selector). The selector's RPL does not count. The CPU itself writes the busy
///   bit, so by ring 0's rights; a page fault there is the guest's, and TR is as it was.
/// - FarJump wants code: not conforming with DPL = CPL and RPL <= CPL, or conforming with DPL <=
///   CPL: else \#GP(selector); of a null selector \#GP(0). Not present: \#NP(selector).
///
/// Where several are wrong, any one of them is reported. `selector` in an error code is without its
/// RPL (protection_fault_of).
///
/// **From the guest's ring 3** (SoftCpu::user_mode) all but MovToSegment and FarJump are the
/// guest's
/// \#GP(0): classify_trap lets none of them come, and this function does not rely on it.
///
/// The stack and what LGDT and LIDT read are memory of the guest's ring. A page fault there is the
/// guest's. SoftwareInterrupt and Iret never come here.
///
/// @param cpu          the guest's CPU
/// @param memory       the guest's
/// @param ports        its devices
/// @param instruction  what decode_sensitive made of the bytes at EIP
/// @return what the CPU's translations are to forget (shadow_flush), or the guest's fault
/// @note Source: [amd/vol3 4, "System Instruction Reference"; 3 for POPF, PUSHF, IN, OUT, MOV].
std::expected<Forget, GuestFault> emulate_privileged(SoftCpu& cpu, const GuestMemory& memory,
                                                     PortBus& ports,
                                                     const SensitiveInstruction& instruction);

}  // namespace vmm::soft
