// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "kern/proc/syscall_numbers.hh"

/// The system calls for guests, as the kernel `nestling-vmm` serves them and the user-level VMM
/// makes them. Like the file it includes, this one includes nothing of the kernel.
namespace vmm::syscall {

/// The calls. Arguments are named in order; answers are as in kern/proc/syscall_numbers.hh.
enum class Number : std::uint64_t {
    env_mkguest = kern::syscall::extension_begin,  ///< (memory_bytes, rip, flags)
    ept_map,                                       ///< (srcenv, srcva, guest, guest_pa, perm)
    guest_start,                                   ///< (guest)
};

///@{
/// Bits of what a page allows its guest: the bits of an EPT entry, and the numbers of right_read,
/// right_write and right_execute.
inline constexpr std::uint64_t perm_read = kern::syscall::right_read,
                               perm_write = kern::syscall::right_write,
                               perm_execute = kern::syscall::right_execute;
inline constexpr std::uint64_t perm_all = perm_read | perm_write | perm_execute;
///@}

/// In the flags of env_mkguest: the guest's hypercalls are served. Without it the first one ends
/// the guest.
inline constexpr std::uint64_t flag_hypercalls = 1;

}  // namespace vmm::syscall
