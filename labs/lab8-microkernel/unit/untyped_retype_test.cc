// SPDX-License-Identifier: MIT
// Task lab8.untyped_retype.
#include "kern/cap/untyped_retype.hh"

#include "micro_fixture.hh"

namespace lab {
namespace {

class UntypedRetype : public MicroTest {
   protected:
    void SetUp() override {
        MicroTest::SetUp();
        std::memset(arena.memory.data(), 0xaa, arena.memory.size());
    }
    /// The empty slots that objects are made in.
    std::span<Slot> slots(std::size_t count) { return std::span{arena.slots}.last(count); }
    Status retype(Type type, unsigned bits, std::span<Slot> destination) {
        return untyped_retype(kernel(), untyped(), type, bits, destination);
    }
    std::uint64_t begin() { return untyped().capability.object; }
    bool is_zero(std::uint64_t from, std::uint64_t to) {
        return std::all_of(arena.memory.begin() + static_cast<std::ptrdiff_t>(from),
                           arena.memory.begin() + static_cast<std::ptrdiff_t>(to),
                           [](std::byte one) { return one == std::byte{0}; });
    }
};

TEST_F(UntypedRetype, ObjectsLieOneAfterTheOther) {
    const auto made = slots(3);
    ASSERT_EQ(retype(Type::Frame, 0, made), Status::Done);
    for (std::size_t i = 0; i < 3; ++i) {
        EXPECT_EQ(made[i].capability.type, Type::Frame);
        EXPECT_EQ(made[i].capability.object, begin() + 4096 * i);
        EXPECT_EQ(made[i].capability.rights, all_rights);
        EXPECT_EQ(parent_of(made[i]), &untyped());
    }
    EXPECT_EQ(untyped().capability.value, std::uint64_t{3} * 4096);
    EXPECT_TRUE(is_zero(0, std::size_t{3} * 4096));
    EXPECT_FALSE(is_zero(std::size_t{3} * 4096, std::size_t{3} * 4096 + 64))
        << "memory behind the objects is not touched";
}

TEST_F(UntypedRetype, EachObjectLiesAtAMultipleOfItsSize) {
    ASSERT_EQ(retype(Type::Endpoint, 0, slots(1)), Status::Done);
    ASSERT_EQ(retype(Type::CNode, 4, slots(2).first(1)), Status::Done);
    EXPECT_EQ(slots(2)[0].capability.object, begin() + 1024);
    EXPECT_EQ(slots(2)[0].capability.size_bits, 4U);
    EXPECT_EQ(cnode_of(slots(2)[0].capability).count, 15U);
    EXPECT_EQ(untyped().capability.value, 2048U);
}

TEST_F(UntypedRetype, AllOrNothing) {
    ASSERT_EQ(retype(Type::Frame, 0, slots(31)), Status::Done);
    const Capability before = untyped().capability;
    const auto more = std::span{arena.slots}.subspan(1, 2);
    EXPECT_EQ(retype(Type::Frame, 0, more), Status::NotEnoughMemory);
    EXPECT_TRUE(more[0].is_empty() && more[1].is_empty());
    EXPECT_TRUE(untyped().capability == before);
    EXPECT_EQ(retype(Type::Frame, 0, more.first(1)), Status::Done);
}

TEST_F(UntypedRetype, AFullSlotIsAnError) {
    ASSERT_EQ(retype(Type::Endpoint, 0, slots(1)), Status::Done);
    const Capability before = untyped().capability;
    EXPECT_EQ(retype(Type::Endpoint, 0, slots(2)), Status::SlotOccupied);
    EXPECT_TRUE(slots(2)[0].is_empty());
    EXPECT_TRUE(untyped().capability == before);
}

TEST_F(UntypedRetype, WhatCannotBeMade) {
    EXPECT_EQ(retype(Type::IrqControl, 0, slots(1)), Status::InvalidArgument);
    EXPECT_EQ(retype(Type::CNode, 13, slots(1)), Status::InvalidArgument);
    EXPECT_EQ(retype(Type::Untyped, 5, slots(1)), Status::InvalidArgument);
    EXPECT_EQ(retype(Type::Endpoint, 0, slots(0)), Status::InvalidArgument);
    EXPECT_EQ(retype(Type::Untyped, 47, slots(1)), Status::NotEnoughMemory);
    EXPECT_EQ(untyped_retype(kernel(), slots(1)[0], Type::Endpoint, 0, slots(1)),
              Status::InvalidCapability);
}

TEST_F(UntypedRetype, ADevicesMemoryIsNotTouched) {
    untyped().capability.is_device = 1;
    for (const Type type : {Type::Endpoint, Type::Tcb, Type::PageTable, Type::AddressSpace})
        EXPECT_EQ(retype(type, 0, slots(1)), Status::InvalidArgument);
    untyped().capability.size_bits = 40;
    for (const Type type : {Type::Frame, Type::Untyped, Type::Frame}) {
        ASSERT_EQ(retype(type, 32, slots(1)), Status::Done);
        EXPECT_EQ(slots(1)[0].capability.is_device, 1U);
        EXPECT_EQ(slots(1)[0].capability.object, begin()) << "without children all of it is back";
        take_out(slots(1)[0]);
    }
    EXPECT_EQ(machine.cleared, 0U);
}

TEST_F(UntypedRetype, WithoutChildrenAllMemoryIsBack) {
    ASSERT_EQ(retype(Type::Frame, 0, slots(32)), Status::Done);
    EXPECT_EQ(retype(Type::Frame, 0, std::span{arena.slots}.subspan(1, 1)),
              Status::NotEnoughMemory);
    for (Slot& slot : slots(32)) take_out(slot);
    std::memset(arena.memory.data(), 0xbb, arena.memory.size());
    ASSERT_EQ(retype(Type::Frame, 0, slots(1)), Status::Done);
    EXPECT_EQ(slots(1)[0].capability.object, begin());
    EXPECT_TRUE(is_zero(0, 4096)) << "what was zero once is not zero for ever";
}

TEST_F(UntypedRetype, ItGoesOnClearingWhereItWasPreempted) {
    machine.allowed_looks = 0;
    unsigned calls = 1;
    bool is_untouched = true;
    for (; calls < 1000 && retype(Type::Frame, 0, slots(4)) == Status::Preempted; ++calls)
        if (untyped().capability.value != 0 || !slots(4)[0].is_empty()) is_untouched = false;
    EXPECT_TRUE(is_untouched) << "nothing is made before all is clear";
    EXPECT_GE(calls, 4U) << "it stops after each piece";
    EXPECT_LT(calls, 1000U) << "it does not get on";
    EXPECT_EQ(machine.cleared, std::uint64_t{4} * 4096) << "nothing is cleared twice";
    EXPECT_LE(machine.largest_piece, clear_piece);
    EXPECT_EQ(untyped().capability.value, std::uint64_t{4} * 4096);
}

TEST_F(UntypedRetype, AnotherCallMayComeAfterAPreemption) {
    ASSERT_EQ(retype(Type::Endpoint, 0, slots(1)), Status::Done);
    machine.allowed_looks = machine.looks;
    ASSERT_EQ(retype(Type::PageTable, 0, slots(2).first(1)), Status::Preempted);
    machine.allowed_looks = FakeMachine::never;
    ASSERT_EQ(retype(Type::Frame, 0, slots(2).first(1)), Status::Done);
    ASSERT_EQ(retype(Type::Frame, 0, slots(3).first(1)), Status::Done);
    EXPECT_TRUE(is_zero(4096, 12288));
}

TEST_F(UntypedRetype, TheSumDoesNotOverflow) {
    untyped().capability.size_bits = 40;
    untyped().capability.is_device = 1;  // there is no such memory
    EXPECT_EQ(retype(Type::Untyped, 40, slots(2)), Status::NotEnoughMemory);
    EXPECT_EQ(retype(Type::Untyped, 47, slots(3)), Status::NotEnoughMemory);
    EXPECT_EQ(retype(Type::Untyped, 32, slots(1)), Status::Done);
    EXPECT_EQ(untyped().capability.value, 1ULL << 32);
    EXPECT_EQ(retype(Type::Untyped, 39, slots(3).first(2)), Status::NotEnoughMemory);
    EXPECT_EQ(retype(Type::Untyped, 47, slots(2).first(1)), Status::NotEnoughMemory);
    EXPECT_EQ(untyped().capability.value, 1ULL << 32);
}

TEST_F(UntypedRetype, MemoryMayBeLarge) {
    /// Only notes what it was to clear: there is no such memory.
    struct Paper final : Machine {
        std::uint64_t next = 0;  ///< where the next piece begins
        unsigned pieces = 0;
        bool preemption_pending() override { return true; }
        void clear(std::uint64_t address, std::uint64_t bytes) override {
            EXPECT_EQ(address, next) << "not where the piece before has ended";
            next = address + bytes;
            ++pieces;
        }
        void begin_space(PageTable&) override {}
        void clear_entry(PageTable&, unsigned) override {}
        void end_table(PageTable&) override {}
        void stop(unsigned) override {}
        void mask(unsigned) override {}
        void unmask(unsigned) override {}
    } paper;
    kernel().machine = &paper;
    untyped().capability.size_bits = 40;
    make(Type::Untyped, 33);
    make(Type::Untyped, 6);
    const std::uint64_t frames = begin() + (1ULL << 33) + 4096;
    paper.next = begin() + untyped().capability.value;
    unsigned calls = 1;
    while (calls < 9999 && retype(Type::Frame, 0, slots(4).first(3)) == Status::Preempted) ++calls;
    EXPECT_EQ(calls, paper.pieces) << "it stops after each piece but the last";
    EXPECT_EQ(paper.next, frames + std::uint64_t{3} * 4096);
    EXPECT_EQ(slots(4)[2].capability.object, frames + std::uint64_t{2} * 4096);
}

TEST_F(UntypedRetype, ThereMayBeTooMany) {
    std::vector<Slot> many((1U << 16) + 1);
    const std::span most = std::span{many}.first(most_retyped);
    EXPECT_EQ(retype(Type::Endpoint, 0, many), Status::InvalidArgument);
    EXPECT_EQ(retype(Type::Endpoint, 0, std::span{many}.first(most_retyped + 1)),
              Status::InvalidArgument);
    EXPECT_EQ(retype(Type::Frame, 0, most), Status::NotEnoughMemory);
    EXPECT_EQ(retype(Type::Endpoint, 0, most), Status::Done);
    EXPECT_EQ(untyped().capability.value, most_retyped * sizeof(Endpoint));
    EXPECT_TRUE(many[most_retyped].is_empty());
    while (untyped().first_child != nullptr) take_out(*untyped().first_child);
}

TEST_F(UntypedRetype, TheFirstErrorIsTold) {
    ASSERT_EQ(retype(Type::Endpoint, 0, slots(1)), Status::Done);
    EXPECT_EQ(retype(Type::IrqHandler, 0, slots(1)), Status::InvalidArgument);
    EXPECT_EQ(retype(Type::Untyped, 40, slots(1)), Status::SlotOccupied);
    EXPECT_EQ(untyped_retype(kernel(), slots(1)[0], Type::IrqHandler, 0, slots(1)),
              Status::InvalidCapability);
}

TEST_F(UntypedRetype, AFullSlotAmongTheLastIsSeenFirst) {
    const auto made = slots(3);
    make_in(made[2], Type::Endpoint);
    const Capability before = untyped().capability;
    EXPECT_EQ(retype(Type::Endpoint, 0, made), Status::SlotOccupied);
    EXPECT_TRUE(made[0].is_empty() && made[1].is_empty());
    EXPECT_EQ(untyped().capability, before);
    EXPECT_EQ(machine.cleared, 0U);
}

TEST_F(UntypedRetype, TheGapBeforeAnObjectIsClear) {
    ASSERT_EQ(retype(Type::Endpoint, 0, slots(1)), Status::Done);
    ASSERT_EQ(retype(Type::Frame, 0, slots(2).first(1)), Status::Done);
    EXPECT_TRUE(is_zero(64, 8192)) << "all from the watermark on";
}

TEST_F(UntypedRetype, AfterTheLastPieceItIsDone) {
    machine.allowed_looks = 0;
    EXPECT_EQ(retype(Type::Endpoint, 0, slots(1)), Status::Done);
    EXPECT_FALSE(slots(1)[0].is_empty());
}

TEST_F(UntypedRetype, MemoryBehindTheObjectsIsNotTouched) {
    ASSERT_EQ(retype(Type::Endpoint, 0, slots(3)), Status::Done);
    EXPECT_EQ(arena.memory[192], std::byte{0xaa});
}

}  // namespace
}  // namespace lab
