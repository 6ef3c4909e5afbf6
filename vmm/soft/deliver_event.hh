// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "vmm/soft/descriptors.hh"
#include "vmm/soft/soft_cpu.hh"

namespace vmm::soft {

/// What deliver_event did.
enum class Delivered : std::uint8_t {
    Nothing,  ///< nothing waits, or it must not come now
    Event,    ///< the guest is at the first instruction of a handler
    Ended,    ///< not even \#DF could be delivered: on a CPU of its own the guest would be reset
};

/// Delivers what waits for the guest, one event at most, as its own CPU would (task
/// lab6.deliver_event). It is called before each return to ring 3, if anything waits.
///
/// **Which.** `cpu.event`, if there is one: exceptions and INT n come whatever IF says. Otherwise
/// the highest of `cpu.interrupts`, if the guest's IF is 1 and `interrupt_shadow` is false. What is
/// delivered waits no longer; the others do. If nothing is delivered, nothing changes.
///
/// **How.** The gate is that of the vector in the guest's IDT (read_gate); an interrupt gate or a
/// trap gate of 32 bits, present. Its selector is not null, and leads to code with DPL 0, present.
/// From the guest's ring 0 the stack stays. From its ring 3 it becomes SS0:ESP0 of the TSS (ESP0 at
/// offset 4, SS0 in 2 bytes at offset 8, both within TR's limit, which is 9 at least), where SS0 has
/// RPL 0 and is writable data with DPL 0, present. Then 4 bytes each are pushed, by the guest's ring
/// 0:
///
/// | from ring 3 only | always | if the event has one |
/// |---|---|---|
/// | SS, ESP | EFLAGS, CS, EIP | error code |
///
/// EFLAGS is as PUSHF of emulate_privileged has it: with the guest's IF, not the real one. A
/// selector takes 4 bytes, with zeros above.
///
/// Then the guest's ring is 0, CS the gate's selector with RPL 0, EIP the gate's offset; SS and ESP
/// are the new ones. An interrupt gate clears the guest's IF, a trap gate leaves it. TF and NT of
/// RFLAGS become 0. Nothing is halted and no interrupt shadow is there any more. For a page fault,
/// which INT 14 is not, CR2 is the event's address.
///
/// **If it cannot be delivered**, by any of these conditions or by a page fault in IDT, GDT, TSS or
/// stack, \#DF (vector 8, error code 0) is delivered in its place, in the same way; its EIP, CS,
/// EFLAGS are those of the interrupted code. The event waits no longer, and CR2 is the old one or
/// the event's address, as you like. If that cannot be delivered either, or if the event was \#DF
/// itself, the result is Ended, and the state does not matter any more. (A real CPU gives
/// some pairs of faults one after the other [amd/vol2 8.2.9]; this one makes \#DF of each.)
///
/// @param cpu     the guest's CPU; RIP is where the handler's IRET shall go
/// @param memory  the guest's
/// @note Source: [amd/vol2 8.7], [amd/vol2 8.9].
Delivered deliver_event(SoftCpu& cpu, const GuestMemory& memory);

}  // namespace vmm::soft
