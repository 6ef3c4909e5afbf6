// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "vmm/devices/ports.hh"
#include "vmm/exit.hh"
#include "vmm/exits/instruction.hh"
#include "vmm/exits/touch_guest.hh"
#include "vmm/exits/walk_guest.hh"
#include "vmm/read_guest.hh"
#include "vmm/vcpu.hh"
#include "vmm/vm.hh"

namespace vmm {

/// So many elements of REP INS or OUTS are moved by one call at most: a guest may ask for 2^64.
inline constexpr std::uint64_t port_string_piece = 4096;

/// Does IN, OUT, INS or OUTS in the guest's place (task lab4.handle_port_access).
///
/// **Ports.** A port is one byte wide. An access of `access.size` bytes meets as many ports, from
/// `access.port` on, modulo 2^16, and its lowest byte belongs to the first of them. They are read by
/// read_port or written by write_port, in this order. If is_served_port says no to all of them, and
/// Vm::has_open_ports is false, nothing is done, and the VM is to end, with ExitFailure::reason "IN
/// from a port that no device serves" or "OUT to a port that no device serves".
///
/// **IN and OUT** move AL, AX or EAX. IN of 1 or 2 bytes leaves the rest of RAX as it is; IN of 4
/// bytes clears its upper half [amd/vol3 3.1.2]. Then the guest goes on behind the instruction
/// (VcpuBackend::skip_instruction).
///
/// **INS and OUTS** (`access.string`) move elements of `access.size` bytes: INS from the port to
/// ES:rDI, OUTS from DS:rSI, or another segment that a prefix names, to the port. rSI, rDI and rCX
/// are as wide as the instruction's addresses.
///
/// - *Address size.* No exit tells it, nor the segment. The instruction stands at linear address
///   SystemRegisters::cs_base + RIP, below 64-bit code modulo 2^32. read_guest reads it, up to
///   longest_instruction bytes, and read_prefixes its prefixes. The size is that of the code (16, 32
///   or 64 bits); with prefix 67 the other one (32 instead of 16 or of 64, 16 instead of 32). Behind
///   the prefixes stands 6c or 6d for INS, 6e or 6f for OUTS; if something else stands there, or
///   nothing can be read, the guest has changed it meanwhile, and the VM is to end, with
///   ExitFailure::reason "an instruction exits that cannot be read".
/// - *Registers.* Behind each element rSI or rDI grows by the element's size; with RFLAGS.DF it
///   shrinks. With `access.repeat` rCX says how many elements are left, and shrinks by 1 each time.
///   Without, there is one element, and rCX keeps its value. All of this is modulo 2^(address size): a
///   result of 16 bits leaves the rest of the register as it is, one of 32 bits clears the upper half.
/// - *rCX = 0* with `access.repeat`: nothing is done at all, whatever port it is. No register changes,
///   and the guest goes on behind the instruction.
/// - *Addresses.* The byte at an offset is at the segment's base plus the offset, modulo 2^32; in
///   64-bit code modulo 2^64, and there only FS and GS have a base, the others 0. The bytes of an
///   element follow each other from its first byte's address on; they may lie on two pages. Limits of
///   segments are not looked at.
/// - *Memory.* A byte is found by walk_guest, as an access of the guest: a write for INS, at CPL 3 or
///   not, with RFLAGS.AC; then by touch_guest. All bytes of an element are found before the port is
///   read or written: what faults takes no byte from a device, and gives it none. A page that was
///   found need not be looked for again in the same call.
///
/// What walk_guest says if there is no address:
///
/// | Kind | then |
/// |---|---|
/// | PageFault | \#PF in the guest, with this error code; CR2 is the byte's linear address, the first one that cannot be reached |
/// | NotCanonical | \#GP in the guest, with error code 0 |
/// | NotInMemory | touch_guest reads the table; then walk again |
/// | Busy | the guest goes on where it is: it will come again |
/// | Unsupported | the VM is to end, with Error::Unsupported and any words |
///
/// An exception is injected if VcpuBackend::can_inject; otherwise that event comes first, and the
/// guest will execute the instruction again. RIP stays at the instruction, and rCX, rSI and rDI say
/// how far it has come: elements that were moved are not moved again. An error of touch_guest ends
/// the VM as it is, and the registers say so, too.
///
/// One call moves at most `port_string_piece` elements; with RFLAGS.TF, one. Behind the last element
/// of the instruction the guest goes on behind it (VcpuBackend::skip_instruction). If there are more,
/// it goes on at the same instruction, which will exit again: skip_instruction then gets a copy of
/// `exit` whose instruction_length is 0, so that a guest that steps has its \#DB, and an interrupt can
/// come between.
///
/// Several vCPUs may execute such instructions at once.
///
/// @return success, or why the VM is to end
/// @note Source: [amd/vol3 3.1, IN, INS, OUT, OUTS; 1.2.6 for REP].
Handled handle_port_access(Vcpu& vcpu, const Exit& exit, const exit::PortAccess& access);

}  // namespace vmm
