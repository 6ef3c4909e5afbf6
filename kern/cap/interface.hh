// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstdint>

#include "kern/cap/capability.hh"

/// What programs see of the microkernel, and all of it.
///
/// SYSCALL, with these registers. RCX and R11 are lost; all others stay.
///
/// | register | before | after |
/// |---|---|---|
/// | RAX | the SystemCall | the Status |
/// | RDI | the capability's address | the badge |
/// | RSI | the label | the label |
/// | RDX | words, capabilities << 32 | words, capabilities << 32 |
/// | R8, R9, R10, R12 | the first words | the first words |
namespace kern::cap {

/// The system calls: all that there are. Their numbers are what programs use.
enum class SystemCall : std::uint64_t { Send, NBSend, Call, Recv, NBRecv, Reply, ReplyRecv, Yield };

///@{
/// How many words of a message are in registers; how many it may have, with those in the buffer;
/// how many capabilities.
inline constexpr unsigned register_words = 4, message_words = 64, message_capabilities = 3;
///@}

/// The rest of a message: the beginning of the frame in Tcb::buffer.
struct IpcBuffer {
    std::array<std::uint64_t, message_words> words;        ///< those from register_words on count
    std::array<std::uint64_t, message_capabilities> sent;  ///< addresses of capabilities to be sent
    std::array<std::uint64_t, message_capabilities>
        received;  ///< addresses of slots for those that come
};

/// The methods of objects: the label of a message to one. An *address* leads to a capability, 64
/// bits in the caller's CNode; an *index* is one of the CNode that is named, from 1 on.
enum class Method : std::uint64_t {
    /// Untyped: makes objects (untyped_retype). Words: type | bits << 8; the address of a CNode; the
    /// index of the first slot; how many.
    Retype = 1,
    ///@{
    /// CNode: derives into its slot (cap_derive). Words: index; the source's address; the rights;
    /// Mint: data.
    Copy,
    Mint,
    ///@}
    Move,    ///< CNode: moves into its slot. Words: index; the source's address
    Delete,  ///< CNode: deletes what is in its slot (cap_revoke). Words: index
    Revoke,  ///< CNode: deletes all that was derived from it (cap_revoke). Words: index
    /// TCB, Inactive: gives it copies of capabilities in place of those that it has. Words:
    /// addresses of a CNode, an address space, a Frame for its buffer, an Endpoint for its faults;
    /// 0: none.
    Configure,
    /// TCB, Inactive or faulted: says where it goes on. Words: RIP, RSP, RDI. All other general
    /// registers are 0 then.
    SetRegisters,
    GetRegisters,  ///< TCB, not Running. Answer: RIP, RSP, RDI, RFLAGS
    SetPriority,   ///< TCB: not above the caller's own (NotAllowed). Words: the priority
    Resume,        ///< TCB: from Inactive to Ready; nothing otherwise
    Suspend,       ///< TCB: does nothing any more (suspend)
    /// TCB, Inactive or the caller: it takes the words of a notification also where it waits for a
    /// message. Words: the address of one with read_right, which is bound to nobody; 0: of none.
    Bind,
    /// Frame that is not mapped: puts it into an address space. Words: the space's address; where,
    /// a multiple of 4096; rights | 8 if code may be executed. Without rights that the capability
    /// has not. SlotEmpty: a table is missing. SlotOccupied: something stands there.
    Map,
    Unmap,  ///< Frame: it is not mapped any more
    /// PageTable that is empty and not mapped: puts it into an address space, at the first level
    /// where one is missing. Words: the space's address; where. SlotOccupied: none is missing.
    MapTable,
    UnmapTable,       ///< PageTable: it is not mapped any more
    GetIrq,           ///< IrqControl: makes an IrqHandler. Words: number; CNode's address; index
    SetNotification,  ///< IrqHandler. Words: the address of a Notification with write_right; 0
    Acknowledge,      ///< IrqHandler: the interrupt may arrive again
    ReadPort,         ///< IoPorts. Words: port; bytes, 1 or 4. Answer: the value
    WritePort,        ///< IoPorts. Words: port; bytes, 1 or 4; the value
};
/// Beside Rights, for Method::Map: code may be executed.
inline constexpr std::uint64_t execute_bit = 8;

/// The labels of faults, which a thread's handler receives. A reply with label 0 lets the thread go
/// on where it has faulted; with another it is Inactive.
enum class Fault : std::uint64_t {
    Page = 1,   ///< words: address, error code [amd/vol2 8.4.2], RIP, RSP
    Exception,  ///< words: vector, error code, RIP, RSP
};

/// What the kernel gives the first task, the *root task*: capabilities at the indices of its CNode
/// from 1 on. Its addresses are its indices.
enum class RootSlot : std::uint64_t {
    CNode = 1,
    Tcb,
    AddressSpace,
    IrqControl,
    IoPorts,  ///< all of them
    Report,   ///< a Frame: whoever watches this machine from outside reads it
    Buffer,   ///< a Frame: the task's IpcBuffer, behind which is its RootInfo
    Stack,    ///< Frames, RootInfo::stack_pages of them; then those of its image, then Untypeds
};

/// What the root task is told, at RootInfo::address.
struct RootInfo {
    ///@{
    /// Where its buffer is mapped; where this is; where its report and its stack's end are.
    static constexpr std::uint64_t buffer_address = 0x20'0000, address = buffer_address + 2048,
                                   report_address = 0x20'1000, stack_end = 0x30'0000;
    ///@}
    static constexpr unsigned cnode_bits = 10;    ///< log2 of its CNode's indices
    static constexpr unsigned stack_pages = 4;    ///< of its stack
    static constexpr unsigned most_untyped = 96;  ///< Untypeds at most

    std::uint64_t cpus;           ///< of the machine
    std::uint64_t image_address;  ///< where its image begins
    std::uint64_t first_image;    ///< index of the Frame of the image's first page
    std::uint64_t image_pages;    ///< how many there are, one behind the other
    std::uint64_t first_untyped;  ///< index of the first Untyped: all memory that is left
    std::uint64_t untyped_count;  ///< the largest comes first
    std::uint64_t first_empty;    ///< index of the first slot that is empty; all behind it are
    std::array<std::uint8_t, most_untyped> untyped_bits;  ///< log2 of their bytes, in order
};
static_assert(sizeof(IpcBuffer) <= 2048 && sizeof(RootInfo) <= 2048);

}  // namespace kern::cap
