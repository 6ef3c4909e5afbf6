// SPDX-License-Identifier: MIT
// Task lab8.cap_derive.
#include "kern/cap/cap_derive.hh"

#include "micro_fixture.hh"

namespace lab {
namespace {

class CapDerive : public MicroTest {};

TEST_F(CapDerive, ACopyIsTheFirstChildOfItsSource) {
    Slot& source = make(Type::Endpoint);
    Slot& older = copy(source);
    Slot& slot = empty_slot();
    ASSERT_EQ(cap_derive(source, slot, all_rights, std::nullopt), Status::Done);
    EXPECT_TRUE(slot.capability == source.capability);
    EXPECT_EQ(source.first_child, &slot);
    EXPECT_EQ(slot.after, &older);
    Slot& grandchild = empty_slot();
    ASSERT_EQ(cap_derive(slot, grandchild, all_rights, std::nullopt), Status::Done);
    EXPECT_EQ(parent_of(grandchild), &slot);
}

TEST_F(CapDerive, RightsOnlyEverGetFewer) {
    Slot& source = copy(make(Type::Endpoint), read_right | grant_right);
    for (Rights rights = 0; rights <= all_rights; ++rights) {
        Slot& slot = empty_slot();
        ASSERT_EQ(cap_derive(source, slot, rights, std::nullopt), Status::Done);
        EXPECT_EQ(slot.capability.rights, rights & (read_right | grant_right));
    }
}

TEST_F(CapDerive, MintGivesABadgeOnce) {
    Slot& source = make(Type::Endpoint);
    Slot& slot = empty_slot();
    ASSERT_EQ(cap_derive(source, slot, write_right, 77), Status::Done);
    EXPECT_EQ(slot.capability.value, 77U);
    Slot& other = empty_slot();
    EXPECT_EQ(cap_derive(slot, other, all_rights, 78), Status::InvalidArgument);
    EXPECT_TRUE(other.is_empty());
    EXPECT_EQ(cap_derive(source, other, all_rights, 0), Status::InvalidArgument);
    EXPECT_EQ(cap_derive(slot, other, all_rights, std::nullopt), Status::Done);
    EXPECT_EQ(other.capability.value, 77U) << "a copy keeps the badge";
}

TEST_F(CapDerive, SlotsAreLookedAtFirst) {
    Slot& source = make(Type::Endpoint);
    Slot& full = make(Type::Notification);
    const Capability before = full.capability;
    EXPECT_EQ(cap_derive(source, full, all_rights, std::nullopt), Status::SlotOccupied);
    EXPECT_TRUE(full.capability == before);
    EXPECT_EQ(cap_derive(empty_slot(), full, all_rights, std::nullopt), Status::SlotEmpty);
    EXPECT_FALSE(has_children(source));
}

TEST_F(CapDerive, AnUntypedIsDerivedWholeAndOnce) {
    Slot& slot = empty_slot();
    ASSERT_EQ(cap_derive(untyped(), slot, all_rights, std::nullopt), Status::Done);
    EXPECT_EQ(slot.capability.object, untyped().capability.object);
    EXPECT_EQ(slot.capability.value, 0U);
    EXPECT_EQ(untyped().capability.value, std::uint64_t{1} << Arena::memory_bits);
    EXPECT_EQ(cap_derive(untyped(), empty_slot(), all_rights, std::nullopt), Status::HasChildren);
}

TEST_F(CapDerive, ATableAndTheControlOfInterruptsAreNotDerived) {
    EXPECT_EQ(cap_derive(make(Type::PageTable), empty_slot(), all_rights, std::nullopt),
              Status::NotAllowed);
    Slot& control = empty_slot();
    control.capability = {.type = Type::IrqControl, .rights = all_rights};
    EXPECT_EQ(cap_derive(control, empty_slot(), all_rights, std::nullopt), Status::NotAllowed);
}

TEST_F(CapDerive, ACopyOfAFrameIsMappedNowhere) {
    Slot& table = make(Type::PageTable);
    Slot& frame = make(Type::Frame);
    frame.capability.where = table.capability.object;
    frame.capability.value = 7;
    Slot& slot = empty_slot();
    ASSERT_EQ(cap_derive(frame, slot, read_right, std::nullopt), Status::Done);
    EXPECT_EQ(table_of(slot.capability), nullptr);
    EXPECT_EQ(slot.capability.object, frame.capability.object);
    EXPECT_NE(table_of(frame.capability), nullptr) << "the source stays where it is";
}

TEST_F(CapDerive, AGuardIsMinted) {
    Slot& cnode = make(Type::CNode, 4);
    Slot& slot = empty_slot();
    ASSERT_EQ(cap_derive(cnode, slot, all_rights, 0xab << 6 | 8), Status::Done);
    EXPECT_EQ(slot.capability.guard_bits, 8U);
    EXPECT_EQ(slot.capability.value, 0xabU);
    EXPECT_EQ(slot.capability.size_bits, 4U);
    EXPECT_EQ(cap_derive(cnode, empty_slot(), all_rights, 0x1ab << 6 | 8), Status::InvalidArgument);
    EXPECT_EQ(cap_derive(cnode, empty_slot(), all_rights, 59), Status::InvalidArgument);
}

TEST_F(CapDerive, PortsOnlyEverGetFewer) {
    Slot& ports = empty_slot();
    ports.capability = {.type = Type::IoPorts, .rights = all_rights, .object = 0x100 | 0x1ff << 16};
    Slot& slot = empty_slot();
    ASSERT_EQ(cap_derive(ports, slot, all_rights, 0x120 | 0x12f << 16), Status::Done);
    EXPECT_EQ(slot.capability.object, 0x120U | 0x12f << 16);
    for (const std::uint64_t bad : {0x0ffULL | 0x12fULL << 16, 0x120ULL | 0x200ULL << 16,
                                    0x130ULL | 0x12fULL << 16, 0x120ULL | 0x1'012fULL << 16})
        EXPECT_EQ(cap_derive(ports, empty_slot(), all_rights, bad), Status::InvalidArgument);
}

TEST_F(CapDerive, EveryTypeLosesRights) {
    for (const Type type : {Type::Tcb, Type::CNode, Type::Frame, Type::AddressSpace}) {
        Slot& source = make(type, type == Type::CNode ? 4 : 0);
        Slot& slot = empty_slot();
        ASSERT_EQ(cap_derive(source, slot, write_right, std::nullopt), Status::Done);
        EXPECT_EQ(slot.capability.rights, write_right);
        EXPECT_EQ(slot.capability.object, source.capability.object);
        EXPECT_EQ(source.capability.rights, all_rights);
    }
}

TEST_F(CapDerive, ABadgeHasSixtyFourBits) {
    Slot& source = make(Type::Notification);
    for (const std::uint64_t badge : {~0ULL, 1ULL << 32}) {
        Slot& slot = empty_slot();
        ASSERT_EQ(cap_derive(source, slot, all_rights, badge), Status::Done);
        EXPECT_EQ(slot.capability.value, badge);
        EXPECT_EQ(source.capability.value, 0U);
        EXPECT_EQ(cap_derive(slot, empty_slot(), all_rights, 1), Status::InvalidArgument)
            << "it has a badge";
    }
}

TEST_F(CapDerive, ItsMemoryIsNotKnownToBeZero) {
    untyped().capability.value = 8192;
    untyped().capability.where = 12288;
    Slot& slot = empty_slot();
    ASSERT_EQ(cap_derive(untyped(), slot, all_rights, std::nullopt), Status::Done);
    EXPECT_EQ(slot.capability.value, 0U);
    EXPECT_EQ(slot.capability.where, 0U);
    EXPECT_EQ(slot.capability.size_bits, Arena::memory_bits);
}

TEST_F(CapDerive, OtherTypesHaveNoData) {
    Slot& slot = empty_slot();
    for (const Type type : {Type::Tcb, Type::Frame, Type::AddressSpace}) {
        Slot& source = make(type);
        EXPECT_EQ(cap_derive(source, slot, all_rights, 1), Status::InvalidArgument);
        EXPECT_TRUE(slot.is_empty());
    }
}

TEST_F(CapDerive, AnErrorChangesNothing) {
    Slot& slot = empty_slot();
    const Image before{arena};
    EXPECT_EQ(cap_derive(untyped(), slot, all_rights, 1), Status::InvalidArgument);
    EXPECT_TRUE(before.is_unchanged());
    Slot& endpoint = make(Type::Endpoint);
    const Image later{arena};
    EXPECT_EQ(cap_derive(untyped(), slot, all_rights, 1), Status::HasChildren)
        << "that is named before the data";
    EXPECT_EQ(cap_derive(endpoint, slot, all_rights, 0), Status::InvalidArgument);
    EXPECT_EQ(cap_derive(slot, slot, all_rights, std::nullopt), Status::SlotEmpty);
    EXPECT_TRUE(later.is_unchanged());
}

TEST_F(CapDerive, TheEndsOfWhatAGuardAndARangeMayBe) {
    Slot& cnode = make(Type::CNode, 4);
    EXPECT_EQ(cap_derive(cnode, empty_slot(), all_rights, 58), Status::Done);
    EXPECT_EQ(cap_derive(cnode, empty_slot(), all_rights, 0), Status::Done);
    EXPECT_EQ(cap_derive(cnode, empty_slot(), all_rights, 1 << 6), Status::InvalidArgument);
    EXPECT_EQ(cap_derive(cnode, empty_slot(), all_rights, 1ULL << 40 | 8), Status::InvalidArgument);
    Slot& slot = empty_slot();
    EXPECT_EQ(cap_derive(cnode, slot, all_rights, ~0ULL << 6 | 58), Status::Done);
    EXPECT_EQ(slot.capability.value, ~0ULL >> 6) << "a guard of 58 bits";
    Slot& ports = empty_slot();
    ports.capability = {.type = Type::IoPorts, .rights = all_rights, .object = 0x101 | 0x1ff << 16};
    EXPECT_EQ(cap_derive(ports, empty_slot(), all_rights, 0x101 | 0x1ff << 16), Status::Done);
    EXPECT_EQ(cap_derive(ports, empty_slot(), all_rights, 0x150 | 0x150 << 16), Status::Done);
    for (const std::uint64_t bad : {0x100ULL | 0x1ffULL << 16, 1ULL << 48 | 0x150ULL << 16 | 0x150})
        EXPECT_EQ(cap_derive(ports, empty_slot(), all_rights, bad), Status::InvalidArgument);
}

}  // namespace
}  // namespace lab
