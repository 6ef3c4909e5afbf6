// SPDX-License-Identifier: MIT
// Task lab8.cap_revoke.
#include "kern/cap/cap_revoke.hh"

#include "micro_fixture.hh"

namespace lab {
namespace {

class CapRevoke : public MicroTest {};

TEST_F(CapRevoke, AllThatWasDerivedGoesAndNothingElse) {
    Slot& endpoint = make(Type::Endpoint);
    Slot& child = copy(endpoint);
    Slot& sibling = copy(endpoint);
    Slot& grandchild = copy(child);
    Slot& great_grandchild = copy(grandchild);
    ASSERT_EQ(cap_revoke(kernel(), child, Scope::Derived), Status::Done);
    EXPECT_FALSE(child.is_empty());
    EXPECT_FALSE(sibling.is_empty());
    EXPECT_FALSE(endpoint.is_empty());
    EXPECT_TRUE(grandchild.is_empty());
    EXPECT_TRUE(great_grandchild.is_empty());
    ASSERT_EQ(cap_revoke(kernel(), endpoint, Scope::Derived), Status::Done);
    EXPECT_TRUE(child.is_empty());
    EXPECT_TRUE(sibling.is_empty());
    EXPECT_FALSE(has_children(endpoint));
}

TEST_F(CapRevoke, WhatWasDerivedFromADeletedOneIsItsParents) {
    Slot& endpoint = make(Type::Endpoint);
    Slot& child = copy(endpoint);
    Slot& grandchild = copy(child);
    ASSERT_EQ(cap_revoke(kernel(), child, Scope::Itself), Status::Done);
    EXPECT_TRUE(child.is_empty());
    EXPECT_EQ(parent_of(grandchild), &endpoint);
    EXPECT_EQ(endpoint.first_child, &grandchild);
}

TEST_F(CapRevoke, AnEndpointEndsWithItsLastCapability) {
    Slot& slot = make(Type::Endpoint);
    Slot& other = copy(slot);
    Tcb& waits = thread();
    receiving(waits, endpoint_of(slot.capability));
    ASSERT_EQ(cap_revoke(kernel(), slot, Scope::Itself), Status::Done);
    EXPECT_EQ(waits.state, State::Receiving) << "there is another capability";
    ASSERT_EQ(cap_revoke(kernel(), other, Scope::Itself), Status::Done);
    EXPECT_EQ(waits.state, State::Ready);
    EXPECT_EQ(waits.status, Status::Cancelled);
}

TEST_F(CapRevoke, WhatStoodInACNodeGoesWithIt) {
    Slot& outer = make(Type::CNode, 2);
    make_in(cnode_of(outer.capability).slot(3), Type::CNode, 3);
    Slot& inner = cnode_of(outer.capability).slot(3);
    make_in(cnode_of(inner.capability).slot(5), Type::Endpoint);
    Slot& endpoint = cnode_of(inner.capability).slot(5);
    ASSERT_EQ(cap_revoke(kernel(), outer, Scope::Itself), Status::Done);
    EXPECT_TRUE(inner.is_empty());
    EXPECT_TRUE(endpoint.is_empty());
    EXPECT_EQ(kernel().dead, nullptr);
    EXPECT_FALSE(has_children(untyped()));
}

TEST_F(CapRevoke, AThreadEndsWithItsSlots) {
    Tcb& tcb = running_thread();
    Slot& slot = *untyped().last_child;
    ASSERT_EQ(&tcb_of(slot.capability), &tcb);
    ASSERT_EQ(cap_revoke(kernel(), untyped(), Scope::Derived), Status::Done);
    EXPECT_EQ(kernel().current(), nullptr);
    EXPECT_TRUE(tcb.cnode.is_empty());
    EXPECT_FALSE(has_children(untyped()));
}

TEST_F(CapRevoke, ItGoesOnWhereItWasPreempted) {
    Slot& endpoint = make(Type::Endpoint);
    Slot& child = copy(endpoint);
    for (int i = 0; i < 9; ++i) copy(child);
    machine.allowed_looks = 0;
    unsigned calls = 1;
    while (calls < 20 && cap_revoke(kernel(), endpoint, Scope::Derived) == Status::Preempted)
        ++calls;
    EXPECT_EQ(calls, 10U) << "one capability in each call";
    EXPECT_FALSE(has_children(endpoint));
    EXPECT_EQ(untyped().first_child, &endpoint);
}

TEST_F(CapRevoke, TheDeadAreFinishedAfterAPreemption) {
    Slot& outer = make(Type::CNode, 2);
    make_in(cnode_of(outer.capability).slot(1), Type::Endpoint);
    machine.allowed_looks = 0;
    ASSERT_EQ(cap_revoke(kernel(), outer, Scope::Itself), Status::Preempted);
    EXPECT_TRUE(outer.is_empty());
    ASSERT_EQ(cap_revoke(kernel(), outer, Scope::Itself), Status::Done);
    EXPECT_FALSE(has_children(untyped()));
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
    ASSERT_EQ(cap_revoke(kernel(), other, Scope::Itself), Status::Done);
    EXPECT_EQ(mapped[4], nullptr);
    EXPECT_EQ(mapped[3], &frame);
    EXPECT_EQ(machine.entries_cleared, 1U);
    ASSERT_EQ(cap_revoke(kernel(), table, Scope::Itself), Status::Done);
    EXPECT_EQ(table_of(frame.capability), nullptr);
    EXPECT_FALSE(frame.is_empty());
}

}  // namespace
}  // namespace lab
