// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "kern/cap/interface.hh"

namespace kern::cap {

struct Tcb;
struct Notification;

/// Threads in a row. A thread stands in one queue at most.
struct Queue {
    ///@{
    /// The ends; nullptr if it is empty.
    Tcb* first = nullptr;
    Tcb* last = nullptr;
    ///@}
};

/// What has slots: the head of a CNode and of a Tcb. The slots follow it.
struct alignas(64) Holder {
    std::uint64_t count = 0;      ///< of slots
    std::uint64_t emptied = 0;    ///< once it has ended: how many of its slots are empty for good
    Holder* next_dead = nullptr;  ///< likewise, the next one of Kernel::dead
    /// Where the slots are.
    Slot* slots() { return reinterpret_cast<Slot*>(this + 1); }
};
static_assert(sizeof(Holder) == sizeof(Slot));

/// Slots by index. Its head stands in the place of index 0, so that index names nothing.
struct CNode : Holder {
    /// The slot at `index`, from 1 to Holder::count.
    Slot& slot(std::uint64_t index) { return slots()[index - 1]; }
};

/// A message in a thread's registers: what it sends, or has received.
struct Message {
    std::uint64_t label = 0;         ///< what it is about: the sender's word
    std::uint64_t length = 0;        ///< how many words
    std::uint64_t capabilities = 0;  ///< how many capabilities
    std::uint64_t badge = 0;         ///< received: of the capability by which it was sent
    std::array<std::uint64_t, register_words> words{};  ///< the first words
    /// All of them are equal.
    bool operator==(const Message&) const = default;
};

/// A thread.
struct alignas(64) Tcb {
    /// What it is doing.
    enum class State : std::uint8_t {
        Inactive,   ///< nothing, until somebody resumes it
        Ready,      ///< waits for a CPU, in a queue of Kernel::ready
        Running,    ///< is Kernel::current of a CPU
        Sending,    ///< waits in an endpoint's queue for a receiver
        Receiving,  ///< waits in an endpoint's queue for a sender
        Waiting,    ///< waits in a notification's queue
        Calling,    ///< waits for the reply to its call, in no queue
    };

    Holder head{};  ///< its slots are the next four
    ///@{
    /// Its own capabilities: to the CNode where its addresses begin, to its address space, to the
    /// Frame with its IpcBuffer, to the Endpoint that its faults go to.
    Slot cnode{}, space{}, buffer{}, fault_handler{};
    ///@}
    Tcb* next = nullptr;      ///< in its queue
    Tcb* previous = nullptr;  ///< in its queue
    Queue* queue = nullptr;   ///< where it stands; nullptr: in none
    /// The caller's slot: who called this thread, and waits for its reply. It is used once.
    Tcb* caller = nullptr;
    /// The other way round: in Calling, whose caller's slot it stands in. nullptr: nobody can reply
    /// any more.
    Tcb* replier = nullptr;
    Notification* bound = nullptr;  ///< whose word it takes also where it waits for a message
    Message message{};              ///< what it sends; afterwards, what it has received
    Status status = Status::Done;   ///< how its last system call ended
    std::uint64_t badge = 0;        ///< in Sending: of the capability that it sends by
    State state = State::Inactive;  ///< what it is doing
    std::uint8_t priority = 0;      ///< below `priorities`; more goes first
    std::uint8_t cpu = 0;           ///< in Running: where
    bool is_call = false;           ///< in Sending: it waits for a reply afterwards
    /// In Sending: it may send capabilities. In Receiving: it may send some back in a reply.
    bool may_grant = false;
    bool reply_may_grant = false;  ///< a reply to `caller` may have capabilities
    bool faulted = false;  ///< in Sending and Calling: the message is about its fault, not its own
    /// What the machine keeps: registers, FPU. This room does not look at it.
    alignas(64) std::array<std::byte, 1024> machine{};
};

/// Where threads meet. Its queue has senders or receivers, never both: see the first one's state.
struct alignas(64) Endpoint {
    Queue queue{};  ///< in the order in which they came
};

/// A word that is signalled. It is active, or has a queue, or neither; never both.
struct alignas(64) Notification {
    Queue queue{};             ///< of those in Waiting, in the order in which they came
    std::uint64_t word = 0;    ///< when active: the badges of all signals, ORed
    std::uint64_t active = 0;  ///< 1: it was signalled, and nobody has taken the word yet
    Tcb* bound = nullptr;      ///< the thread whose Tcb::bound this is
};

/// A table of the hardware, and whose entries they are. An address space is such a table.
struct alignas(4096) PageTable {
    std::array<std::uint64_t, 512> entries{};  ///< the hardware's; this room does not look at them
    /// By entry: the slot of the Frame or PageTable that stands there; nullptr: none of a program's.
    std::array<Slot*, 512> mapped{};
};

///@{
/// How many priorities, interrupts and CPUs there are at most.
inline constexpr unsigned priorities = 8, irqs = 16, most_cpus = 4;
///@}

///@{
/// How many indices a CNode has, how large an Untyped is (log2).
inline constexpr unsigned least_cnode_bits = 1, most_cnode_bits = 12, least_untyped_bits = 6,
                          most_untyped_bits = 47;
///@}

/// log2 of the bytes of an object; of a CNode and an Untyped, `bits` says it (see
/// Capability::size_bits). 0: no such object can be made of memory.
constexpr unsigned object_bits(Type type, unsigned bits) {
    switch (type) {
        case Type::Untyped:
            return bits >= least_untyped_bits && bits <= most_untyped_bits ? bits : 0;
        case Type::CNode: return bits >= least_cnode_bits && bits <= most_cnode_bits ? bits + 6 : 0;
        case Type::Tcb: return 11;
        case Type::Endpoint:
        case Type::Notification: return 6;
        case Type::Frame: return 12;
        case Type::PageTable:
        case Type::AddressSpace: return 13;
        default: return 0;
    }
}
static_assert(sizeof(Tcb) <= 1U << 11 && sizeof(Endpoint) == 64 && sizeof(Notification) == 64 &&
              sizeof(PageTable) == 1U << 13 && offsetof(Tcb, cnode) == sizeof(Holder));

///@{
/// The object of a capability of that type.
inline CNode& cnode_of(const Capability& capability) {
    return *reinterpret_cast<CNode*>(capability.object);
}
inline Tcb& tcb_of(const Capability& capability) {
    return *reinterpret_cast<Tcb*>(capability.object);
}
inline Endpoint& endpoint_of(const Capability& capability) {
    return *reinterpret_cast<Endpoint*>(capability.object);
}
inline Notification& notification_of(const Capability& capability) {
    return *reinterpret_cast<Notification*>(capability.object);
}
///@}
/// The table that a Frame or PageTable stands in; nullptr if it is not mapped, or of another type.
inline PageTable* table_of(const Capability& capability) {
    if (capability.type != Type::Frame && capability.type != Type::PageTable) return nullptr;
    return reinterpret_cast<PageTable*>(capability.where);
}
/// The thread's buffer; nullptr if it has none: Tcb::buffer is no Frame with the rights to read and
/// to write, or is a device's.
inline IpcBuffer* buffer_of(const Tcb& tcb) {
    const Capability& frame = tcb.buffer.capability;
    if (frame.type != Type::Frame || frame.is_device != 0) return nullptr;
    if (!frame.allows(read_right | write_right)) return nullptr;
    return reinterpret_cast<IpcBuffer*>(frame.object);
}

}  // namespace kern::cap
