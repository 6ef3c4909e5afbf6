// SPDX-License-Identifier: MIT
#pragma once

#include "vmm/exit.hh"
#include "vmm/hypercall.hh"
#include "vmm/vcpu.hh"

namespace vmm {

/// Serves a hypercall (task lab4.handle_hypercall); vmm/hypercall.hh has the numbers. All 64 bits of
/// each register count.
///
/// First it looks who calls: RDX holds hypercall::signature, else the result is no_signature; and
/// the guest's CPL is 0 (VcpuBackend::privilege_level), else no_privilege. Then RAX says what is
/// asked for:
///
/// | RAX | what is done | result |
/// |---|---|---|
/// | hypercall::exit | Vm::end: the guest has exited with the status in RBX, on this vCPU | none |
/// | hypercall::print | RCX bytes at guest-virtual RBX, by read_guest, are printed: see below | ok |
/// | | more than print_limit bytes: nothing is printed | bad_argument |
/// | | a byte that cannot be read; what stands before it may have been printed | bad_address |
/// | anything else | nothing | bad_number |
///
/// What is printed goes through a LineWriter{Vm::print_line, &vcpu.vm()}, which is flushed behind the
/// last byte.
///
/// The result goes into RAX; hypercall::exit, which has none, leaves it as it is. No other register
/// changes. Then the guest goes on behind the instruction (VcpuBackend::skip_instruction).
///
/// Several vCPUs may call at once.
///
/// hypercall::mark, for measurements, never comes here: given code serves it before.
///
/// @return success, always: a guest that calls wrongly gets a result
Handled handle_hypercall(Vcpu& vcpu, const Exit& exit);

}  // namespace vmm
