// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string_view>

#include "kern/user/micro/children.hh"
#include "kern/user/micro/micro.hh"

/// What the root task does with what it was given. Addresses are indices of its CNode.
namespace micro {

/// What the kernel has told it.
inline const kern::cap::RootInfo& info() {
    return *reinterpret_cast<const kern::cap::RootInfo*>(kern::cap::RootInfo::address);
}
/// Its IpcBuffer.
inline kern::cap::IpcBuffer& root_buffer() {
    return *reinterpret_cast<kern::cap::IpcBuffer*>(kern::cap::RootInfo::buffer_address);
}
///@{
/// The index of one of its first capabilities.
constexpr std::uint64_t root(kern::cap::RootSlot slot) {
    return static_cast<std::uint64_t>(slot);
}
inline constexpr std::uint64_t own_cnode = root(kern::cap::RootSlot::CNode);
///@}

/// Writes to the serial port, through RootSlot::IoPorts.
void print(std::string_view text);

/// The index of `count` slots in a row that are empty.
std::uint64_t new_slots(std::uint64_t count = 1);
/// An Untyped of 4 MiB: all of what a part of the test makes is made of it.
std::uint64_t memory();
/// New objects, in slots in a row; the index of the first.
std::uint64_t make(Type type, unsigned bits = 0, std::uint64_t count = 1);
/// Everything since the last call is deleted, and its memory and slots are free.
void forget_all();

/// A child that was made, and does not run yet. All are indices of the root task's CNode.
struct Child {
    std::uint64_t tcb = 0;    ///< the thread
    std::uint64_t cnode = 0;  ///< its slots; guard_bits of them is such that indices are addresses
    std::uint64_t space = 0;  ///< its address space
    std::uint64_t listens = 0;  ///< an endpoint, of which it has a copy to send: `up`
};
/// Makes a child that is to begin at `entry`; its faults go to `handler`; 0: to nobody.
Child make_child(void (*entry)(std::uint64_t), std::uint64_t argument, std::uint64_t listens,
                 std::uint64_t badge, std::uint64_t handler = 0);
/// Gives the child a copy of a capability, at an address of its; with `badge`, unless that is 0.
void give(const Child& child, std::uint64_t at, std::uint64_t capability,
          Rights rights = kern::cap::all_rights, std::uint64_t badge = 0);
/// Puts a copy of a Frame into the child's address space.
void map_for(const Child& child, std::uint64_t frame, std::uint64_t address);
/// Lets it run.
void start(const Child& child);
/// Both, for who needs nothing more.
Child start_child(void (*entry)(std::uint64_t), std::uint64_t argument, std::uint64_t listens,
                  std::uint64_t badge);
/// Stops the machine's test with words if something that every kernel must do was not done.
void require(bool rule, std::string_view words);

}  // namespace micro
