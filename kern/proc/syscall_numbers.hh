// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

/// What the kernel and its user programs agree on. Programs include this file too: it includes
/// nothing of the kernel.
///
/// A system call is the instruction SYSCALL with the number in RAX and the arguments in RDI, RSI,
/// RDX, R10, R8 in this order. The answer comes back in RAX: 0 or more is the result, less than 0
/// is an error, minus one of the numbers below. RCX and R11 are lost to SYSCALL itself; every
/// other register stays.
namespace kern::syscall {

/// The calls. Arguments are named in order; `rights` is a sum of right_...
enum class Number : std::uint64_t {
    exit = 0,           ///< (status): ends the program; does not come back
    yield = 1,          ///< (): lets others run first
    console_write = 2,  ///< (text, size): the number of bytes written, which is `size`
    console_read = 3,   ///< (buffer, size): bytes that were typed; 0 if there are none yet
    env_id = 4,         ///< (): the caller's identifier, greater than 0
    open = 5,           ///< (name, size): a file descriptor
    read = 6,           ///< (descriptor, buffer, size): bytes read from where the last read ended
    page_alloc = 7,     ///< (address, rights): a new page of zeros; replaces one that is there
    page_map = 8,       ///< (from, to, rights): the caller's page `from` appears at `to` too
    page_unmap = 9,     ///< (address): takes the page away; no error if there is none
    ipc_try_send = 10,  ///< (to, value, page, rights): gives `value`, and `page` if not 0, to a
                        ///< program that waits in ipc_receive; `busy` if it does not
    ipc_receive = 11,   ///< (page): waits for a value; maps a page sent with it at `page`, unless
                        ///< that is 0. See below for where the answer is
    spawn = 12,         ///< (name, size, arguments, size): starts a program; its identifier
    parent_id = 13,     ///< (): the identifier of who spawned the caller; 0: nobody
    find_env = 14,      ///< (name, size): the identifier of a living program of that name
    nothing = 15,       ///< (): 0, for measuring
    time = 16,          ///< (): nanoseconds since boot
    seek = 17,          ///< (descriptor, offset): the next read begins there; 0
    wait = 18,          ///< (program): waits until it has ended. See below for the answer
};
/// One more than the greatest number of these.
inline constexpr std::uint64_t number_count = 19;
/// Numbers from here on belong to another room, which serves them (kern/proc/system_calls.hh).
inline constexpr std::uint64_t extension_begin = 64;

// The answer of ipc_receive: RAX holds the sender's identifier, RDX the value, and R8 the rights of
// the page that came, or 0 if none did.
//
// The answer of wait: RAX holds how the program ended, an Outcome, and RDX the status that it gave
// to exit, if it did. The last ended_programs that ended are remembered; who waits for one that is
// forgotten, or never was, gets not_found.

///@{
/// Rights of a page. Every page that is there can be read.
inline constexpr std::uint64_t right_read = 1, right_write = 2, right_execute = 4;
///@}

/// Why a call failed. RAX holds the number with a minus sign.
enum class Failure : std::int64_t {
    no_such_call = 1,      ///< RAX was no number of a call
    invalid_argument = 2,  ///< an argument is outside of what the call takes
    bad_address = 3,       ///< a pointer to what is not mapped, not the program's, or read-only
    not_found = 4,         ///< no such file, page, program or descriptor
    out_of_memory = 5,     ///< no frame is left, or no room for one more program or open file
    busy = 6,              ///< the other program is not waiting
    bad_format = 7,        ///< the file is no program
    failed = 8,            ///< the device failed
};

/// How a program ended, for who waited for it.
enum class Outcome : std::uint64_t {
    exited = 1,         ///< by the system call exit, or what is like it for its kind
    faulted = 2,        ///< by an exception
    limit_reached = 3,  ///< it ran too long
    stuck = 4,          ///< it waited, and nobody was left for whom it could wait
    aborted = 5,        ///< the kernel ended it: see the console
};
/// So many ends are remembered for wait.
inline constexpr std::uint64_t ended_programs = 64;

///@{
/// Bounds of what programs pass.
inline constexpr std::uint64_t longest_name = 48, longest_arguments = 256, open_files = 8,
                               longest_write = 4096;
///@}

// What a program finds at its start: RDI holds the address of its arguments' text, RSI their
// length in bytes, RDX its own identifier; RSP is user_layout::stack_top, all else is 0. The text
// lies at the low end of the stack page.

}  // namespace kern::syscall
