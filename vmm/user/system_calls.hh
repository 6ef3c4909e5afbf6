// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <expected>

#include "kern/proc/env.hh"
#include "vmm/address.hh"
#include "vmm/probe.hh"

namespace vmm {

/// The kernel serves the system calls of vmm/user/syscall_numbers.hh from now on. How each error
/// looks to the program that called: kern::failure_of. `probe`, of the backend that was given to
/// Vm::prepare, is for the evidence.
///
/// **env_mkguest(memory_bytes, rip, flags)** makes a guest, a child of the caller: its identifier.
/// It has `memory_bytes` of guest-physical memory from address 0 on, of which no page is there yet,
/// and one virtual CPU, which will begin in real mode at address `rip` (CS is 0). It does not run
/// before guest_start. Failures: invalid_argument (memory_bytes is 0, no multiple of the page size,
/// or more than 2^40; `rip` is 64 KiB or more, or beyond the memory; a flag that there is not),
/// out_of_memory.
///
/// **ept_map(srcenv, srcva, guest, guest_pa, perm)** is sys_ept_map().
///
/// **guest_start(guest)** lets the guest run: 0. Failures: not_found (no guest, or not the
/// caller's), invalid_argument (it was started before), out_of_memory. A guest ends by the exit
/// hypercall (if hypercalls are served) with that status, or it is aborted; the call wait tells
/// which.
void serve_guest_system_calls(const Probe& probe);

/// Makes a page of a program appear in a guest, too (task lab2.sys_ept_map): the frame behind
/// `srcva` in `srcenv`'s memory is shared, not copied. It is called sys_ept_map since the
/// original's is; it serves AMD's nested tables as well.
///
/// @param caller    the program that made the system call
/// @param srcenv    whose page: the caller itself (0 means that too) or a child of the caller
/// @param srcva     the page's first byte in srcenv's memory
/// @param guest     a guest that is a child of the caller. It may be running
/// @param guest_pa  where the page appears, in guest-physical memory
/// @param perm      what the guest may do there: a sum of syscall::perm_read, perm_write and
///                  perm_execute. A page that its program may write can be given without
///                  perm_write. perm_execute needs no right of the program: it is the guest that
///                  executes
/// @return nothing. The guest's table then owns one counted reference to the frame, and has the
///         page with exactly the rights `perm`. srcenv's memory is as before
/// @note Errors, after which no page and no reference count has changed; if several hold, any of
/// them:
///       - NotFound: srcenv names no living program, or none that is the caller or its child;
///         `guest` names no living guest that is the caller's child (a program is no guest, and a
///         guest has no memory to be srcenv)
///       - Unaligned: srcva or guest_pa is no multiple of the page size
///       - OutOfRange: srcva is user_layout::end or beyond, or no page is there; guest_pa is not
///         below the guest's memory_bytes()
///       - InvalidArgument: perm has no bit, or one that there is not, or lacks perm_read; or has
///         perm_write, and the program may not write the page
///       - AlreadyExists: the guest has a page at guest_pa already
///       - OutOfMemory: for a table. Tables made until then stay in the guest's tree, for the next
///         attempt
/// @note Locks: the process layer's lock is held. Interrupts are disabled.
/// @note Use: find_own and guest_of (vmm/user/guest_env.hh), AddressSpace::reference, which looks
///       the page up that *holds* an address, kern::arch::direct_map, ept_map_hva2gpa.
std::expected<void, Error> sys_ept_map(kern::Env& caller, kern::EnvId srcenv, kern::Uva srcva,
                                       kern::EnvId guest, Gpa guest_pa, std::uint64_t perm);

}  // namespace vmm
