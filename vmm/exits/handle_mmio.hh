// SPDX-License-Identifier: MIT
#pragma once

#include "vmm/exit.hh"
#include "vmm/exits/decode_access.hh"
#include "vmm/vcpu.hh"

namespace vmm {

/// Does an instruction in the guest's place that accesses a device's registers in memory (task
/// lab4.handle_mmio). The access has ended in a nested page fault at `fault.address`, where a
/// device is; the instruction stands at RIP, and has done nothing yet.
///
/// **Who has made this access?** If an event is waiting (VcpuBackend::can_inject says no), the CPU
/// was on its way to a handler of the guest's, and the access belongs to that and not to the
/// instruction at RIP. The VM ends.
///
/// **The instruction.** Its bytes are the longest_instruction bytes, or as many of them as
/// read_guest can read, at the linear address SystemRegisters::cs_base + RIP; outside 64-bit code
/// modulo 2^32. decode_access makes an access of them. The operand's address is linear, and
/// `fault.address` is guest-physical: only the offset in the page must be the same. If it is not,
/// the operand begins on another page than the device's, and the VM ends. One that begins in the
/// page and ends behind it is the bus's to refuse.
///
/// **The device** is reached by MmioBus::read and MmioBus::write of Vm::mmio(), with the vCPU's
/// index, `fault.address` and MemoryAccess::size:
///
/// | operation | the device is | then |
/// |---|---|---|
/// | Load | read | the register gets the value, to register_size extended by its sign or by zeros |
/// | Store | written: the other operand | |
/// | And, Or, Xor, memory first | read, then written: the result | flags |
/// | And, Or, Xor, register first | read | the register gets the result; flags |
/// | Compare, Test | read | flags |
/// | Exchange | read, then written: the register | the register gets what was read |
///
/// The other operand is the register, or the immediate if there is none. A register of 1 or 2 bytes
/// leaves the rest of its 64 bits as it is, one of 4 bytes clears the upper half; for
/// RegisterOperand::is_high_byte it is bits 15 to 8.
///
/// **Flags** are those of the operands' size [amd/vol3 AND, CMP, OR, TEST, XOR]. SF is the result's
/// highest bit, ZF says that it is 0, PF that its lowest byte has an even number of ones. Compare
/// takes the second operand from the first: CF says that the second one is greater, as numbers
/// without sign; OF that the difference, as numbers with sign, does not fit; AF that the lowest 4
/// bits of the second one are greater. And, Or, Xor and Test clear CF and OF; what becomes of AF
/// does not matter. No other flag changes, and Load, Store and Exchange change none.
///
/// **STOS** (MemoryAccess::is_string) stores an element, and then moves RDI by `size`: up, or down
/// if the direction flag is set. With `repeat` it takes 1 from RCX behind each element, as often as
/// RCX says; if that is 0, it stores nothing. `address_bytes` of RDI and of RCX count, and are
/// written as a register of that size. One exit stores element behind element, at addresses of the
/// device that go up or down by `size`. It stops early behind an element if the next one does not
/// lie wholly in the page of `fault.address`, if RDI has gone beyond its end (from its highest
/// address to 0, or back), or if RFLAGS.TF is set, since a guest that steps looks at each element.
/// If RCX is not 0 then, the guest is to execute the instruction again: it is completed by
/// skip_instruction with a length of 0.
///
/// Several vCPUs may access devices at once.
///
/// **At the end** the guest goes on behind the instruction: VcpuBackend::skip_instruction is called
/// once, with `exit` but for its instruction_length, which is that of the instruction.
///
/// @return success, or why the VM ends, with an ExitFailure::reason in words of your own. Then RIP and
/// all registers are as they were, but for RDI and RCX behind elements that were stored. The error
/// is
///   Busy (an event is waiting), OutOfRange (the operand begins on another page), that of the bus or
///   the device, or that of decode_access; then ExitFailure::instruction is what it returned
Handled handle_mmio(Vcpu& vcpu, const Exit& exit, const exit::NestedPageFault& fault);

}  // namespace vmm
