// SPDX-License-Identifier: MIT
// Task lab8.cap_revoke.
#include "kern/cap/cap_revoke.hh"

#include <set>

#include "micro_fixture.hh"

namespace lab {
namespace {

class CapRevoke : public MicroTest {
   protected:
    Status revoke(Slot& slot) { return cap_revoke(kernel(), slot, Scope::Derived); }
    Status remove(Slot& slot) { return cap_revoke(kernel(), slot, Scope::Itself); }
    /// A new object that stands below `parent`.
    Slot& make_below(Slot& parent, Type type, unsigned bits = 0) {
        Slot& slot = make(type, bits);
        const Capability capability = slot.capability;
        take_out(slot);
        put_below(parent, slot, capability);
        return slot;
    }
    /// Whether the tree is whole, and has so many capabilities.
    ::testing::AssertionResult has_capabilities(unsigned wanted) {
        unsigned count = 0;
        if (!is_well_formed(untyped(), count))
            return ::testing::AssertionFailure() << "the tree is broken";
        if (count != wanted)
            return ::testing::AssertionFailure() << count << " capabilities, not " << wanted;
        return ::testing::AssertionSuccess();
    }
};

TEST_F(CapRevoke, AllThatWasDerivedGoes) {
    Slot& endpoint = make(Type::Endpoint);
    Slot& child = copy(endpoint);
    Slot& sibling = copy(endpoint);
    Slot& grandchild = copy(child);
    Slot& second = copy(child);
    Slot& great_grandchild = copy(grandchild);
    ASSERT_EQ(revoke(endpoint), Status::Done);
    for (const Slot* const gone : {&child, &sibling, &grandchild, &second, &great_grandchild})
        EXPECT_TRUE(gone->is_empty());
    EXPECT_FALSE(has_children(endpoint));
}

TEST_F(CapRevoke, NothingElseGoes) {
    Slot& endpoint = make(Type::Endpoint);
    Slot& younger = copy(endpoint);
    Slot& child = copy(endpoint);
    Slot& older = copy(endpoint);
    Slot& cousin = copy(older);
    copy(child);
    const Capability before = child.capability;
    ASSERT_EQ(revoke(child), Status::Done);
    EXPECT_EQ(child.capability, before) << "the capability itself stays";
    for (const Slot* const stays : {&endpoint, &younger, &older, &cousin})
        EXPECT_FALSE(stays->is_empty());
    EXPECT_TRUE(has_capabilities(6));
}

TEST_F(CapRevoke, WhateverTheTreeLooksLike) {
    Slot& root = make(Type::Endpoint);
    for (int round = 0; round < 200; ++round) {
        std::array<Slot*, 24> slots{};
        for (Slot*& slot : slots) slot = &arena.slots[&slot - slots.data() + 40];
        std::set<const Slot*> derived{&root};
        const std::size_t chosen = random().next() % slots.size();
        for (std::size_t i = 0; i < slots.size(); ++i) {
            const std::size_t of = random().next() % (i + 1);
            Slot& parent = of == i ? root : *slots[of];
            copy(parent, *slots[i]);
            if (i == chosen) derived = {slots[i]};
            if (i > chosen && derived.contains(&parent)) derived.insert(slots[i]);
        }
        ASSERT_EQ(revoke(*slots[chosen]), Status::Done);
        for (const Slot* const slot : slots)
            ASSERT_EQ(slot->is_empty(), derived.contains(slot) && slot != slots[chosen]);
        ASSERT_TRUE(has_capabilities(2 + slots.size() - derived.size() + 1));
        while (root.first_child != nullptr) take_out(*root.first_child);
    }
}

TEST_F(CapRevoke, TheTreeMayBeDeep) {
    Slot& endpoint = make(Type::Endpoint);
    std::vector<Slot> slots(200'000);
    Slot* parent = &endpoint;
    for (Slot& slot : slots) parent = &copy(*parent, slot);
    ASSERT_EQ(revoke(endpoint), Status::Done);
    EXPECT_FALSE(has_children(endpoint));
    for (Slot& slot : slots) copy(endpoint, slot);
    ASSERT_EQ(revoke(endpoint), Status::Done) << "or have many siblings";
    EXPECT_FALSE(has_children(endpoint));
}

TEST_F(CapRevoke, OneCapabilityIsDeleted) {
    Slot& endpoint = make(Type::Endpoint);
    Slot& child = copy(endpoint);
    Slot& sibling = copy(endpoint);
    ASSERT_EQ(remove(child), Status::Done);
    EXPECT_TRUE(child.is_empty());
    EXPECT_FALSE(endpoint.is_empty());
    EXPECT_FALSE(sibling.is_empty());
    EXPECT_TRUE(has_capabilities(3));
}

TEST_F(CapRevoke, WhatWasDerivedFromADeletedOneIsItsParents) {
    Slot& endpoint = make(Type::Endpoint);
    Slot& child = copy(endpoint);
    Slot& grandchild = copy(child);
    ASSERT_EQ(remove(child), Status::Done);
    EXPECT_TRUE(child.is_empty());
    ASSERT_FALSE(grandchild.is_empty());
    EXPECT_EQ(parent_of(grandchild), &endpoint);
    EXPECT_EQ(endpoint.first_child, &grandchild);
}

TEST_F(CapRevoke, AnObjectEndsWithItsLastCapability) {
    Slot& slot = make(Type::Endpoint);
    Slot& other = copy(slot);
    Tcb& waits = thread();
    receiving(waits, endpoint_of(slot.capability));
    ASSERT_EQ(remove(slot), Status::Done);
    ASSERT_EQ(remove(other), Status::Done);
    EXPECT_EQ(waits.state, State::Ready);
    EXPECT_EQ(waits.status, Status::Cancelled);
    EXPECT_TRUE(is_queue(ready(), {&waits}));
}

TEST_F(CapRevoke, AndNotBefore) {
    Slot& slot = make(Type::Endpoint);
    copy(slot);
    Tcb& waits = thread();
    receiving(waits, endpoint_of(slot.capability));
    ASSERT_EQ(remove(slot), Status::Done);
    EXPECT_EQ(waits.state, State::Receiving) << "there is another capability";
}

TEST_F(CapRevoke, MemoryIsNoObject) {
    Slot& slot = empty_slot();
    copy(untyped(), slot);
    untyped().capability.value = std::uint64_t{1} << Arena::memory_bits;
    const Image before{arena.memory};
    ASSERT_EQ(revoke(untyped()), Status::Done);
    EXPECT_TRUE(slot.is_empty());
    EXPECT_TRUE(before.is_unchanged());
    EXPECT_EQ(untyped().capability.value, std::uint64_t{1} << Arena::memory_bits)
        << "the watermark is for untyped_retype";
}

TEST_F(CapRevoke, WhatStoodInACNodeGoesWithIt) {
    Slot& outer = make(Type::CNode, 2);
    Slot& first = cnode_of(outer.capability).slot(1);
    Slot& last = cnode_of(outer.capability).slot(3);
    copy(make(Type::Endpoint), first);
    make_in(last, Type::Notification);
    ASSERT_EQ(remove(outer), Status::Done);
    EXPECT_TRUE(first.is_empty());
    EXPECT_TRUE(last.is_empty());
    EXPECT_EQ(kernel().dead, nullptr);
    EXPECT_TRUE(has_capabilities(2)) << "the memory, and the endpoint";
}

TEST_F(CapRevoke, MoreObjectsMayEndByThat) {
    Slot& outer = make(Type::CNode, 2);
    Slot& inner = cnode_of(outer.capability).slot(3);
    make_in(inner, Type::CNode, 3);
    Slot& endpoint = cnode_of(inner.capability).slot(5);
    make_in(endpoint, Type::Endpoint);
    Tcb& waits = thread();
    receiving(waits, endpoint_of(endpoint.capability));
    ASSERT_EQ(remove(outer), Status::Done);
    EXPECT_TRUE(inner.is_empty());
    EXPECT_TRUE(endpoint.is_empty());
    EXPECT_EQ(waits.status, Status::Cancelled);
    EXPECT_EQ(kernel().dead, nullptr);
}

TEST_F(CapRevoke, ASlotMayGoWithItsOwnCNode) {
    Slot& cnode = make(Type::CNode, 2);
    Slot& own = cnode_of(cnode.capability).slot(2);
    move(cnode, own);
    ASSERT_EQ(remove(own), Status::Done);
    EXPECT_TRUE(has_capabilities(1));

    Slot& memory = make(Type::Untyped, 12);
    Slot& child = make_below(memory, Type::CNode, 2);
    Slot& inside = cnode_of(child.capability).slot(1);
    move(memory, inside);
    ASSERT_EQ(revoke(inside), Status::Done);
    EXPECT_TRUE(child.is_empty());
    EXPECT_TRUE(inside.is_empty());
    EXPECT_TRUE(has_capabilities(1));
    EXPECT_EQ(kernel().dead, nullptr);
}

TEST_F(CapRevoke, AThreadEndsWithItsSlots) {
    Tcb& tcb = running_thread();
    give_buffer(tcb);
    Slot& slot = *untyped().last_child;
    ASSERT_EQ(&tcb_of(slot.capability), &tcb);
    ASSERT_EQ(remove(slot), Status::Done);
    EXPECT_EQ(kernel().current(), nullptr);
    EXPECT_TRUE(tcb.cnode.is_empty());
    EXPECT_TRUE(tcb.buffer.is_empty());
    EXPECT_TRUE(has_capabilities(1));
}

TEST_F(CapRevoke, EachCapabilityToAFrameHasItsOwnPlace) {
    Slot& table = make(Type::PageTable);
    Slot& frame = make(Type::Frame);
    Slot& other = copy(frame);
    auto& mapped = reinterpret_cast<PageTable*>(table.capability.object)->mapped;
    for (Slot* const slot : {&frame, &other}) {
        slot->capability.where = table.capability.object;
        slot->capability.value = slot == &frame ? 3 : 4;
        mapped[slot->capability.value] = slot;
    }
    ASSERT_EQ(remove(other), Status::Done);
    EXPECT_EQ(mapped[4], nullptr);
    EXPECT_EQ(mapped[3], &frame);
    EXPECT_EQ(machine.entries_cleared, 1U);
}

TEST_F(CapRevoke, ATableThatGoesIsInNoOther) {
    Slot& space = make(Type::AddressSpace);
    Slot& table = make(Type::PageTable);
    Slot& frame = make(Type::Frame);
    auto& upper = reinterpret_cast<PageTable*>(space.capability.object)->mapped;
    auto& lower = reinterpret_cast<PageTable*>(table.capability.object)->mapped;
    table.capability.where = space.capability.object;
    frame.capability.where = table.capability.object;
    table.capability.value = 1;
    frame.capability.value = 2;
    upper[1] = &table;
    lower[2] = &frame;
    ASSERT_EQ(remove(table), Status::Done);
    EXPECT_EQ(upper[1], nullptr);
    EXPECT_EQ(table_of(frame.capability), nullptr);
    EXPECT_FALSE(frame.is_empty());
    EXPECT_EQ(machine.tables_ended, 1U);
}

TEST_F(CapRevoke, ItStopsBetweenTwoDeletions) {
    Slot& endpoint = make(Type::Endpoint);
    Slot& child = copy(endpoint);
    for (int i = 0; i < 9; ++i) copy(child);
    machine.allowed_looks = 0;
    for (unsigned left = 9; left > 0; --left) {
        ASSERT_EQ(revoke(endpoint), Status::Preempted);
        ASSERT_TRUE(has_capabilities(2 + left)) << "each call deletes one";
    }
    machine.looks = 0;
    machine.allowed_looks = FakeMachine::never;
    for (int i = 0; i < 3; ++i) copy(endpoint);
    machine.allowed_looks = 2;
    ASSERT_EQ(revoke(endpoint), Status::Preempted);
    EXPECT_TRUE(has_capabilities(3)) << "it goes on until it is told to stop";
}

TEST_F(CapRevoke, WithNothingLeftItIsDone) {
    Slot& endpoint = make(Type::Endpoint);
    machine.allowed_looks = 0;
    EXPECT_EQ(revoke(endpoint), Status::Done);
    Slot& child = copy(endpoint);
    EXPECT_EQ(revoke(endpoint), Status::Done);
    copy(endpoint, child);
    EXPECT_EQ(remove(child), Status::Done);
    EXPECT_EQ(remove(child), Status::Done) << "it is empty";
}

TEST_F(CapRevoke, TheDeadAreEmptiedOneByOne) {
    Slot& cnode = make(Type::CNode, 3);
    for (unsigned i = 2; i < 5; ++i) make_in(cnode_of(cnode.capability).slot(i), Type::Endpoint);
    machine.allowed_looks = 0;
    for (unsigned left = 3; left > 0; --left) {
        ASSERT_EQ(remove(cnode), Status::Preempted);
        ASSERT_TRUE(has_capabilities(1 + left));
    }
    EXPECT_EQ(remove(cnode), Status::Done);
    EXPECT_TRUE(has_capabilities(1));
}

TEST_F(CapRevoke, TheDeadOfOtherCallsAreFinishedToo) {
    for (const Scope scope : {Scope::Itself, Scope::Derived}) {
        for (const bool is_empty : {true, false}) {
            Slot& outer = make(Type::CNode, 2);
            make_in(cnode_of(outer.capability).slot(1), Type::Endpoint);
            Slot& slot = is_empty ? outer : make(Type::Notification);
            machine.looks = machine.allowed_looks = 0;
            ASSERT_EQ(remove(outer), Status::Preempted);
            ASSERT_TRUE(outer.is_empty());
            machine.allowed_looks = FakeMachine::never;
            ASSERT_EQ(cap_revoke(kernel(), slot, scope), Status::Done);
            EXPECT_EQ(kernel().dead, nullptr);
            EXPECT_TRUE(has_capabilities(is_empty || scope == Scope::Itself ? 1 : 2));
        }
    }
}

TEST_F(CapRevoke, FirstWhatWasDerivedThenTheDead) {
    Slot& parent = make(Type::Endpoint);
    copy(parent);
    copy(parent);
    Slot& dead = make(Type::CNode, 2);
    Slot& inside = cnode_of(dead.capability).slot(1);
    make_in(inside, Type::Endpoint);
    machine.allowed_looks = 0;
    ASSERT_EQ(remove(dead), Status::Preempted);
    ASSERT_EQ(revoke(parent), Status::Preempted);
    ASSERT_EQ(revoke(parent), Status::Preempted);
    EXPECT_FALSE(inside.is_empty()) << "a dead one's slot was emptied before";
    EXPECT_FALSE(has_children(parent));
}

TEST_F(CapRevoke, AtEachLookAllIsInOrder) {
    Slot& memory = make(Type::Untyped, 12);
    Slot& cnode = make_below(memory, Type::CNode, 4);
    struct Object {
        Tcb* waits;
        std::array<Slot*, 2> slots;
    };
    std::array<Object, 5> objects{};
    for (unsigned i = 0; i < objects.size(); ++i) {
        Slot& slot = make_below(i != 2 ? memory : untyped(), Type::Endpoint);
        objects[i] = {&thread(), {&slot, &copy(slot, cnode_of(cnode.capability).slot(3 * i + 1))}};
        receiving(*objects[i].waits, endpoint_of(slot.capability));
    }
    const auto look = [&] {
        unsigned count = 0;
        EXPECT_TRUE(is_well_formed(untyped(), count));
        for (const Object& one : objects) {
            const bool is_named = !one.slots[0]->is_empty() || !one.slots[1]->is_empty();
            EXPECT_EQ(one.waits->state == State::Receiving, is_named)
                << "an object without a capability, or the other way round";
        }
    };
    machine.at_look = look;
    machine.allowed_looks = 0;
    for (int i = 0; i < 100 && revoke(memory) == Status::Preempted; ++i) look();
    look();
    EXPECT_EQ(objects[2].waits->state, State::Receiving);
}

TEST_F(CapRevoke, OthersMayActInBetween) {
    Slot& endpoint = make(Type::Endpoint);
    Slot& child = copy(endpoint);
    Slot& grandchild = copy(child);
    copy(grandchild);
    machine.allowed_looks = 0;
    ASSERT_EQ(revoke(endpoint), Status::Preempted);
    Slot& derived = copy(endpoint);
    copy(derived);
    for (Slot* const slot : {&child, &grandchild})
        if (!slot->is_empty()) {
            (void)remove(*slot);
            break;
        }
    machine.allowed_looks = FakeMachine::never;
    ASSERT_EQ(revoke(endpoint), Status::Done);
    EXPECT_FALSE(has_children(endpoint));
    EXPECT_TRUE(has_capabilities(2));
}

}  // namespace
}  // namespace lab
