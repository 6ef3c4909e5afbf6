// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include "kern/cap/calls.hh"

/// A small model of capabilities and messages, written from the contracts: what each system call
/// and each operation with capabilities does, in lists and numbers, without a pointer. It shares
/// the names of types and numbers with kern/cap, and nothing else: there is no tree with links but
/// a list, nobody looks at neighbours but counts, and no queue knows where it stands.
namespace lab::exhaustive {

using kern::cap::Rights;
using kern::cap::Status;
using kern::cap::SystemCall;
using kern::cap::Type;
using ThreadState = kern::cap::Tcb::State;

/// The number of a thread, an object, a slot.
using Id = std::uint8_t;
inline constexpr Id none = 0xff;

///@{
/// How many there are.
inline constexpr unsigned threads = 3, endpoints = 2, table_slots = 12, thread_slots = 4, units = 8,
                          priorities = 2;
///@}
/// The slots by number: two that only the kernel has (all memory, and the table), those of the
/// table, the four of each thread, and those that a CNode made of the small Untyped may have. That
/// Untyped has `units` pieces of 64 bytes; a CNode of two indices has its slot in its second one.
///@{
inline constexpr Id memory_slot = 0, table_cap_slot = 1, first_table_slot = 2,
                    first_thread_slot = first_table_slot + table_slots,
                    first_unit_slot = first_thread_slot + threads * thread_slots,
                    slots = first_unit_slot + units;
inline constexpr Id first_unit = 16;
///@}
/// The slots of a thread.
enum : Id { cnode_slot, space_slot, buffer_slot, handler_slot };
constexpr Id slot_of_thread(Id thread, Id which) {
    return static_cast<Id>(first_thread_slot + thread * thread_slots + which);
}
/// What capabilities in messages are about: each sender offers the gift, each receiver has a slot
/// for it.
inline constexpr Id gift_slot = first_table_slot;
constexpr Id receive_slot(Id thread) {
    return static_cast<Id>(first_table_slot + table_slots - threads + thread);
}

/// A list that is short.
template <unsigned Most>
struct List {
    std::uint8_t count = 0;
    std::array<Id, Most> at{};

    const Id* begin() const { return at.data(); }
    const Id* end() const { return at.data() + count; }
    bool is_empty() const { return count == 0; }
    Id first() const { return count == 0 ? none : at[0]; }
    void push_back(Id one) { at[count++] = one; }
    void push_front(Id one) {
        std::copy_backward(begin(), end(), at.data() + count + 1);
        at[0] = one;
        ++count;
    }
    void remove(Id one) {
        Id* const found = std::find(at.data(), at.data() + count, one);
        if (found == at.data() + count) return;
        std::copy(found + 1, at.data() + count, found);
        --count;
    }
};
using Threads = List<threads>;

/// A capability. `object`: the number of a thread, an endpoint; of what is made of the small Untyped,
/// and of that itself, first_unit + the unit where it begins. `value`: the badge; of an Untyped, how many units were given away; of a Frame, in which entry of
/// the page table it stands, plus 1.
struct Cap {
    Type type = Type::Null;
    Rights rights = 0;
    std::uint8_t bits = 0;
    Id object = 0;
    std::uint8_t value = 0;
};

/// What a thread sends.
enum class Text : std::uint8_t {
    Short,     ///< two words: the fast path takes it
    Long,      ///< six words: it does not
    WithGift,  ///< six words, and two capabilities: the gift, twice
    GoOn,      ///< like Long, with the label 0: a thread that has faulted may go on
    Fault,     ///< what the kernel sends for a thread that has faulted
};

/// A thread. Fields that mean nothing in its state have the values that they have here.
struct Thread {
    ThreadState state = ThreadState::Inactive;
    std::uint8_t priority = 0, badge = 0;
    Id caller = none, replier = none;
    bool is_call = false, may_grant = false, reply_may_grant = false, faulted = false,
         is_bound = false;
    Text text = Text::Short;  ///< in Sending
};

/// All that there is.
struct State {
    std::array<Thread, threads> thread{};
    std::array<Threads, endpoints> endpoint{};
    std::array<Threads, priorities> ready{};
    Threads waiting{};  ///< for the notification
    std::uint8_t word = 0;
    bool is_active = false, has_irq = false;
    Id running = none;
    /// The tree: slots with a capability, each before those below it, and how deep it stands.
    List<slots> tree{};
    std::array<std::uint8_t, slots> depth{};  ///< by place in `tree`
    std::array<Cap, slots> cap{};             ///< by slot
    /// What has ended and may still have full slots: threads by number, CNodes by their object.
    List<threads + units> dead{};
};

/// What somebody's program finds after an operation, beside the State.
struct Found {
    Status status = Status::Done;
    bool is_status_open = false;  ///< the contracts do not say it
    bool has_message = false;
    std::uint64_t label = 0, length = 0, capabilities = 0, badge = 0;
    Id from = none;  ///< whose words it has; none: its own
};
using FoundByThread = std::array<Found, threads>;

/// The words of a message: label and length. All others follow from who sent it.
struct TextWords {
    std::uint64_t label, length, capabilities;
};
TextWords words_of(Text text, Id thread);

/// The model at work on one state.
class Model {
   public:
    explicit Model(State& state) : state_{state} {}
    FoundByThread found{};
    unsigned fast_calls = 0, fast_replies = 0;

    ///@{
    /// As kern/cap/calls.hh has them. `slot`: none, the address leads nowhere. `text`: what the
    /// current thread's message is.
    void system_call(SystemCall call, Id slot, Text text);
    ///@}
    /// Likewise, but nobody decides yet who runs next: schedule.
    void fault();
    void interrupt();
    ///@{
    /// A thread is suspended, or made Ready where it is Inactive.
    void suspend(Id thread);
    void resume(Id thread);
    ///@}
    /// cap_derive. `badge`: 0, a copy.
    Status derive(Id source, Id destination, Rights rights, std::uint8_t badge);
    /// untyped_retype, of as many as `count`, into slots that are given. Endpoints and
    /// notifications that are made so have no state: nobody uses them.
    Status retype(Id untyped, Type type, std::uint8_t bits, const List<2>& destination);
    /// Deletes one capability.
    void remove(Id slot);
    /// Whether cap_revoke may delete `victim` now.
    bool may_remove(Id slot, bool is_delete, Id victim) const;
    /// Whether cap_revoke has nothing left to do.
    bool is_done(Id slot, bool is_delete) const;
    void schedule();
    ///@{
    /// Of the tree: how many stand below the slot, and how deep; whether it is below another.
    unsigned below(Id slot) const;
    unsigned height(Id slot) const;
    bool is_below(Id slot, Id ancestor) const;
    ///@}
    void put_below(Id parent, Id slot, const Cap& cap);

   private:
    State& state_;
    bool fires(SystemCall call, const Cap& cap, Text text) const;
    int highest_ready() const;
    unsigned place(Id slot) const;
    void sleep(Id thread, ThreadState state, Threads* queue);
    void wake(Id thread, bool is_first);
    void leave_queues(Id thread);
    void cancel(Id thread);
    void drop_caller(Id thread);
    void give_word(Id thread, std::uint64_t word);
    void transfer(Id from, Id to, Text text, std::uint8_t badge, bool may_grant);
    void send(Id thread, const Cap& cap, Text text, bool is_blocking, bool is_call);
    void receive(Id thread, const Cap& cap, bool is_blocking);
    void reply(Id thread, Text text);
    void signal(std::uint8_t badge);
    void wait(Id thread, bool is_blocking);
    void end(const Cap& cap);
    Id next_dead_slot() const;
    bool has_buffer(Id thread) const;
};

}  // namespace lab::exhaustive
