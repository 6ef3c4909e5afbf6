// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstring>
#include <functional>
#include <limits>
#include <memory>
#include <ostream>
#include <string>

#include "kern/cap/lifetime.hh"
#include "kern/cap/threads.hh"
#include "kern/cap/tree.hh"
#include "kern/tests/support/random.hh"
#include "kern/tests/support/results.hh"

/// A microkernel without hardware, for tests: all of its state is in one arena, at an address that
/// does not change, so that bytes can be saved and put back.
namespace kern::cap {

/// For GoogleTest's messages.
inline std::ostream& operator<<(std::ostream& out, Status status) {
    static constexpr const char* names[] = {
        "Done",      "Preempted",    "InvalidCapability", "InvalidArgument", "NotAllowed",
        "SlotEmpty", "SlotOccupied", "NotEnoughMemory",   "HasChildren",     "Cancelled"};
    const auto number = static_cast<std::uint64_t>(status);
    return number < std::size(names) ? out << names[number] : out << "status " << number;
}
inline std::ostream& operator<<(std::ostream& out, Tcb::State state) {
    static constexpr const char* names[] = {"Inactive",  "Ready",   "Running", "Sending",
                                            "Receiving", "Waiting", "Calling"};
    const auto number = static_cast<std::uint64_t>(state);
    return number < std::size(names) ? out << names[number] : out << "state " << number;
}
inline std::ostream& operator<<(std::ostream& out, Type type) {
    return out << "type " << static_cast<unsigned>(type);
}

}  // namespace kern::cap

namespace kern::test {

using namespace kern::cap;  // NOLINT(google-build-using-namespace): all of it is under test
using State = Tcb::State;

/// Hardware that notes what it was told.
class FakeMachine final : public Machine {
   public:
    static constexpr unsigned never = std::numeric_limits<unsigned>::max();
    unsigned looks = 0;               ///< how often somebody asked whether to stop
    unsigned allowed_looks = never;   ///< so many looks are answered with no, then yes
    std::uint64_t cleared = 0;        ///< bytes, in all
    std::uint64_t largest_piece = 0;  ///< of what was cleared at once
    std::uint64_t masked = 0;         ///< interrupts, as bits
    std::function<void()> at_look;    ///< is called at each look, unless it is empty
    unsigned stops = 0, entries_cleared = 0, tables_ended = 0, spaces_begun = 0;

    bool preemption_pending() override {
        if (at_look) at_look();
        return looks++ >= allowed_looks;
    }
    void clear(std::uint64_t address, std::uint64_t bytes) override {
        std::memset(reinterpret_cast<void*>(address), 0, bytes);
        cleared += bytes;
        largest_piece = std::max(largest_piece, bytes);
    }
    void begin_space(PageTable&) override { ++spaces_begun; }
    void clear_entry(PageTable& table, unsigned index) override {
        table.entries[index] = 0;
        ++entries_cleared;
    }
    void end_table(PageTable&) override { ++tables_ended; }
    void stop(unsigned) override { ++stops; }
    void mask(unsigned irq) override { masked |= 1ULL << irq; }
    void unmask(unsigned irq) override { masked &= ~(1ULL << irq); }
};

/// All of the kernel's state.
struct Arena {
    static constexpr unsigned memory_bits = 17;
    alignas(1U << memory_bits) std::array<std::byte, 1U << memory_bits> memory;
    Kernel kernel;
    std::array<Slot, 64> slots;  ///< the first one holds the memory, an Untyped
};

/// Whether the subtree's links agree with each other; counts its slots.
inline bool is_well_formed(const Slot& slot, unsigned& count) {
    ++count;
    const Slot* before = &slot;
    for (const Slot* child = slot.first_child; child != nullptr;) {
        if (child->before != before || child->is_empty() || !is_well_formed(*child, count))
            return false;
        if (child->after == &slot) return slot.last_child == child;
        before = child;
        child = child->after;
    }
    return slot.last_child == nullptr;
}

class MicroTest : public ::testing::Test {
   protected:
    void SetUp() override {
        kernel().machine = &machine;
        untyped().capability = {.type = Type::Untyped,
                                .rights = all_rights,
                                .size_bits = Arena::memory_bits,
                                .object = reinterpret_cast<std::uint64_t>(arena.memory.data())};
    }
    Kernel& kernel() { return arena.kernel; }
    /// All memory.
    Slot& untyped() { return arena.slots[0]; }
    /// A slot that is empty.
    Slot& empty_slot() { return arena.slots.at(used_slots_++); }
    /// A new object, whose capability stands below untyped(). Not by untyped_retype.
    Slot& make(Type type, unsigned bits = 0) {
        Slot& slot = empty_slot();
        make_in(slot, type, bits);
        return slot;
    }
    void make_in(Slot& slot, Type type, unsigned bits = 0) {
        Capability& memory = untyped().capability;
        const std::uint64_t size = 1ULL << object_bits(type, bits);
        const std::uint64_t start = (memory.value + size - 1) / size * size;
        memory.value = start + size;
        put_below(untyped(), slot,
                  begin_object(kernel(), type, bits, memory.object + start, false));
    }
    /// A capability derived from another. Not by cap_derive.
    Slot& copy(Slot& source, Slot& to, Rights rights = all_rights, std::uint64_t badge = 0) {
        Capability capability = source.capability;
        capability.rights &= rights;
        if (badge != 0) capability.value = badge;
        put_below(source, to, capability);
        return to;
    }
    Slot& copy(Slot& source, Rights rights = all_rights, std::uint64_t badge = 0) {
        return copy(source, empty_slot(), rights, badge);
    }
    /// A thread with a CNode of 15 slots of its own, whose addresses are the indices: Inactive.
    Tcb& thread(std::uint8_t priority = 3) {
        Tcb& tcb = tcb_of(make(Type::Tcb).capability);
        tcb.priority = priority;
        make_in(tcb.cnode, Type::CNode, 4);
        tcb.cnode.capability.guard_bits = 60;
        return tcb;
    }
    /// One that has the CPU.
    Tcb& running_thread(std::uint8_t priority = 3) {
        Tcb& tcb = thread(priority);
        tcb.state = State::Running;
        kernel().current() = &tcb;
        return tcb;
    }
    Slot& slot_of(Tcb& tcb, std::uint64_t index) {
        return cnode_of(tcb.cnode.capability).slot(index);
    }
    /// Gives the thread a frame as its buffer.
    IpcBuffer& give_buffer(Tcb& tcb) {
        make_in(tcb.buffer, Type::Frame);
        return *buffer_of(tcb);
    }
    /// A message with two words, by chance.
    Message message() {
        Message one{.label = random_.next(), .length = 2};
        for (std::uint64_t& word : one.words) word = random_.next();
        return one;
    }
    ///@{
    /// Makes it wait at an endpoint, or for a notification; not by the tasks.
    void receiving(Tcb& tcb, Endpoint& endpoint, bool may_grant = false) {
        tcb.may_grant = may_grant;
        sleep(kernel(), tcb, State::Receiving, &endpoint.queue);
    }
    void sending(Tcb& tcb, Endpoint& endpoint, std::uint64_t badge, bool is_call = false) {
        tcb.badge = badge;
        tcb.is_call = is_call;
        sleep(kernel(), tcb, State::Sending, &endpoint.queue);
    }
    ///@}
    /// Whether these are the threads of a queue, in this order, and think so themselves.
    static ::testing::AssertionResult is_queue(const Queue& queue,
                                               std::initializer_list<const Tcb*> wanted) {
        const Tcb* tcb = queue.first;
        const Tcb* previous = nullptr;
        for (const Tcb* const one : wanted) {
            if (tcb != one) return ::testing::AssertionFailure() << "the order is another one";
            if (tcb->queue != &queue || tcb->previous != previous)
                return ::testing::AssertionFailure() << "a thread's links are broken";
            previous = tcb;
            tcb = tcb->next;
        }
        if (tcb != nullptr) return ::testing::AssertionFailure() << "more threads are in it";
        return ::testing::AssertionSuccess();
    }
    const Queue& ready(unsigned priority = 3) { return kernel().ready[priority]; }

   private:
    std::unique_ptr<Arena> memory_ = std::make_unique<Arena>();

   protected:
    Arena& arena = *memory_;
    FakeMachine machine;

   private:
    Random random_;
    unsigned used_slots_ = 1;
};

}  // namespace kern::test
