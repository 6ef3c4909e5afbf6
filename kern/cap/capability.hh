// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstdint>
#include <type_traits>

/// A microkernel: objects, and capabilities that name them (see its lab's
/// handout).
///
/// Nothing in this room knows hardware, which is behind kern/cap/machine.hh, and nothing allocates.
/// An address is a number: where the kernel sees that byte. Everything is under one lock, which the
/// caller holds.
namespace kern::cap {

/// What a capability names.
enum class Type : std::uint8_t {
    Null,          ///< nothing: the slot is empty
    Untyped,       ///< memory that nobody uses yet
    CNode,         ///< slots for capabilities
    Tcb,           ///< a thread
    Endpoint,      ///< where threads meet to pass messages
    Notification,  ///< a word of bits that somebody may wait for
    Frame,         ///< a page of memory for programs, 4 KiB
    PageTable,     ///< one of the tables below an address space's first
    AddressSpace,  ///< the first table
    IrqControl,    ///< makes an IrqHandler for each interrupt
    IrqHandler,    ///< one interrupt
    IoPorts,       ///< a range of I/O ports
};

///@{
/// What a capability allows: a set of these bits. Endpoint: receive, send, send capabilities along.
/// Notification: wait, signal. Frame: how it may be mapped. They mean nothing to other types.
using Rights = std::uint8_t;
inline constexpr Rights read_right = 1, write_right = 2, grant_right = 4, all_rights = 7;
///@}

/// The right to use one object. It has no padding, so that states can be compared as bytes.
struct Capability {
    Type type = Type::Null;  ///< of the object
    Rights rights = 0;       ///< what it allows
    /// Untyped: log2 of its bytes. CNode: log2 of its indices. PageTable: its level, 1 to 3, once it
    /// stands in another table (1: its entries are pages). Otherwise 0.
    std::uint8_t size_bits = 0;
    std::uint8_t guard_bits = 0;  ///< CNode: how many bits its guard has
    std::uint8_t is_device = 0;   ///< 1 for Untyped, Frame: not memory; the kernel never touches it
    std::array<std::uint8_t, 3> reserved{};  ///< always 0
    /// Where the object lies; of Untyped, Frame: where its memory begins. IrqHandler: which
    /// interrupt. IoPorts: the first port | the last one << 16.
    std::uint64_t object = 0;
    /// Endpoint, Notification: the badge; 0 is none. CNode: the guard. Untyped: its watermark, the
    /// bytes from its start on that were given away. Frame, PageTable: which entry of `where`.
    std::uint64_t value = 0;
    /// Untyped: up to which byte, from its start on, the memory behind the watermark is zero.
    /// Frame, PageTable: the table that it stands in, a PageTable; 0: it is not mapped.
    std::uint64_t where = 0;

    /// All of them are equal.
    bool operator==(const Capability&) const = default;
    /// Whether it allows all of `wanted`.
    constexpr bool allows(Rights wanted) const { return (rights & wanted) == wanted; }
};
static_assert(std::has_unique_object_representations_v<Capability> && sizeof(Capability) == 32);

/// A place for one capability, and its place in the derivation tree (kern/cap/tree.hh).
struct alignas(64) Slot {
    Capability capability{};  ///< Type::Null: the slot is empty
    ///@{
    /// The tree, for kern/cap/tree.hh alone: the sibling before, or the parent of a first child; the
    /// sibling after, or the parent of a last child; the first and the last child.
    Slot* before = nullptr;
    Slot* after = nullptr;
    Slot* first_child = nullptr;
    Slot* last_child = nullptr;
    ///@}
    /// Whether there is no capability.
    constexpr bool is_empty() const { return capability.type == Type::Null; }
};
static_assert(sizeof(Slot) == 64);

/// How an operation ended. Programs see these numbers.
enum class Status : std::uint64_t {
    Done,
    Preempted,          ///< it is to be called again with the same arguments, and goes on
    InvalidCapability,  ///< the look-up failed, or found nothing that this can be done with
    InvalidArgument,    ///< a number is not what the contract allows
    NotAllowed,         ///< the capability lacks a right, or nothing may be derived from it
    SlotEmpty,          ///< there is no capability
    SlotOccupied,       ///< there is one already
    NotEnoughMemory,    ///< the Untyped has not so much left
    HasChildren,        ///< something was derived already: revoke it first
    Cancelled,          ///< the object that the thread waited for has ended
};

}  // namespace kern::cap
