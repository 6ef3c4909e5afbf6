// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

/// The threads that the root task starts: each has an address space of its own with the image, which
/// it may not write, a stack, an IpcBuffer, and a CNode whose indices are its addresses.
namespace micro {

/// Where each child has them.
inline constexpr std::uint64_t child_buffer = 0x20'0000, child_stack_end = 0x30'0000,
                               child_shared = 0x28'0000, child_heap = 0x31'0000;
/// The addresses of its capabilities: to the endpoint where the root task listens; to what else its
/// part is about; further ones from `more` on.
inline constexpr std::uint64_t up = 1, other = 2, space = 3, more = 8;
/// How many pages the pager has, and the client wants.
inline constexpr std::uint64_t demanded_pages = 8;

///@{
/// Where they begin. What `argument` is, each says.
void look_up(std::uint64_t argument);      ///< what its addresses begin with
void call_with_badge(std::uint64_t key);   ///< of this run
void count(std::uint64_t argument);        ///< nothing
void send_long(std::uint64_t key);         ///< of this run
void send_frame(std::uint64_t key);        ///< of this run
void send_once(std::uint64_t argument);    ///< the label
void signal_once(std::uint64_t argument);  ///< nothing
void call_twice(std::uint64_t key);        ///< of this run
void call_often(std::uint64_t key);        ///< of this run
void serve(std::uint64_t argument);        ///< nothing
void demand(std::uint64_t key);            ///< of this run
void serve_pages(std::uint64_t argument);  ///< nothing
void meet(std::uint64_t argument);         ///< its number | how many there are << 8
///@}

}  // namespace micro
