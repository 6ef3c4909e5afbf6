// SPDX-License-Identifier: MIT
// Task lab8.cap_lookup.
#include "kern/cap/cap_lookup.hh"

#include "micro_fixture.hh"

namespace lab {
namespace {

using Kind = LookupFailure::Kind;

class CapLookup : public MicroTest {
   protected:
    static LookupFailure failure(const Capability& root, std::uint64_t address, unsigned depth) {
        const auto found = cap_lookup(root, address, depth);
        EXPECT_FALSE(found) << "a slot was found";
        return found ? LookupFailure{Kind::Missing, 99, 99} : found.error();
    }
    static std::string in_words(const LookupFailure& failure) {
        static constexpr const char* kinds[] = {"Missing", "WrongObject", "GuardMismatch",
                                                "DepthMismatch", "NoSlot"};
        return std::string{kinds[static_cast<unsigned>(failure.kind)]} + " at level " +
               std::to_string(failure.level) + ", " + std::to_string(failure.bits_left) +
               " bits left";
    }
    static ::testing::AssertionResult is(const LookupFailure& failure, Kind kind, unsigned level,
                                         unsigned bits_left) {
        const LookupFailure wanted{kind, level, bits_left};
        if (failure == wanted) return ::testing::AssertionSuccess();
        return ::testing::AssertionFailure()
               << "the failure is " << in_words(failure) << ", wanted is " << in_words(wanted);
    }
};

TEST_F(CapLookup, OneLevelLeadsToTheSlotOfTheIndex) {
    const Slot& root = make(Type::CNode, 4);
    for (std::uint64_t index = 1; index < 16; ++index) {
        const auto found = cap_lookup(root.capability, index, 4);
        ASSERT_TRUE(found);
        EXPECT_EQ(*found, &cnode_of(root.capability).slot(index));
    }
    const Slot& least = make(Type::CNode, 1);
    EXPECT_TRUE(cap_lookup(least.capability, 1, 1)) << "an index of one bit";
    const Slot& large = make(Type::CNode, 9);
    const auto found = cap_lookup(large.capability, 300, 9);
    ASSERT_TRUE(found);
    EXPECT_EQ(*found, &cnode_of(large.capability).slot(300));
}

TEST_F(CapLookup, TheHighestBitsAreReadFirst) {
    const Slot& root = make(Type::CNode, 4);
    Slot& inner = cnode_of(root.capability).slot(2);
    make_in(inner, Type::CNode, 3);
    const auto found = cap_lookup(root.capability, 0b0010'101, 7);
    ASSERT_TRUE(found);
    EXPECT_EQ(*found, &cnode_of(inner.capability).slot(5));
}

TEST_F(CapLookup, BitsAboveTheDepthMeanNothing) {
    const Slot& root = make(Type::CNode, 4);
    const auto found = cap_lookup(root.capability, 0xffff'ff03, 4);
    ASSERT_TRUE(found);
    EXPECT_EQ(*found, &cnode_of(root.capability).slot(3));
}

TEST_F(CapLookup, AGuardIsPassedAndSixtyFourBitsAreRead) {
    Slot& root = make(Type::CNode, 4);
    root.capability.guard_bits = 60;
    root.capability.value = 0xabc;
    auto found = cap_lookup(root.capability, 0xabc3, 64);
    ASSERT_TRUE(found);
    EXPECT_EQ(*found, &cnode_of(root.capability).slot(3));
    // The other way round: no guard, and 60 bits behind the index.
    root.capability.guard_bits = root.capability.value = 0;
    Slot& inner = cnode_of(root.capability).slot(2);
    make_in(inner, Type::CNode, 3);
    inner.capability.guard_bits = 57;
    inner.capability.value = 0xabc;
    found = cap_lookup(root.capability, 2ULL << 60 | 0xabc << 3 | 5, 64);
    ASSERT_TRUE(found);
    EXPECT_EQ(*found, &cnode_of(inner.capability).slot(5));
}

TEST_F(CapLookup, AnotherGuardIsAMismatch) {
    Slot& root = make(Type::CNode, 4);
    root.capability.guard_bits = 8;
    root.capability.value = 0xab;
    EXPECT_TRUE(is(failure(root.capability, 0xac3, 12), Kind::GuardMismatch, 0, 12));
    EXPECT_TRUE(is(failure(root.capability, 0x2b3, 12), Kind::GuardMismatch, 0, 12));
    EXPECT_TRUE(is(failure(root.capability, 0xa, 4), Kind::GuardMismatch, 0, 4))
        << "fewer bits are left than the guard has";
    root.capability.value = 0xa;
    EXPECT_TRUE(is(failure(root.capability, 0xa, 4), Kind::GuardMismatch, 0, 4));
}

TEST_F(CapLookup, FewerBitsThanTheIndexAreAMismatchOfDepth) {
    const Slot& root = make(Type::CNode, 4);
    EXPECT_TRUE(is(failure(root.capability, 1, 3), Kind::DepthMismatch, 0, 3));
    EXPECT_TRUE(is(failure(root.capability, 1, 0), Kind::DepthMismatch, 0, 0));
}

TEST_F(CapLookup, WhatIsNoCNodeIsSaidAtItsLevel) {
    const Slot& root = make(Type::CNode, 4);
    make_in(cnode_of(root.capability).slot(2), Type::Endpoint);
    EXPECT_TRUE(is(failure(root.capability, 0x25, 8), Kind::WrongObject, 1, 4));
    EXPECT_TRUE(is(failure(root.capability, 0x35, 8), Kind::Missing, 1, 4));
    EXPECT_TRUE(is(failure(Capability{}, 3, 4), Kind::Missing, 0, 4));
    EXPECT_TRUE(is(failure(untyped().capability, 3, 4), Kind::WrongObject, 0, 4));
}

TEST_F(CapLookup, IndexZeroIsTheHead) {
    const Slot& root = make(Type::CNode, 4);
    EXPECT_TRUE(is(failure(root.capability, 0, 4), Kind::NoSlot, 0, 4));
}

TEST_F(CapLookup, ASlotIsFoundWhateverItHolds) {
    const Slot& root = make(Type::CNode, 4);
    Slot& inner = cnode_of(root.capability).slot(2);
    make_in(inner, Type::CNode, 3);
    auto found = cap_lookup(root.capability, 2, 4);
    ASSERT_TRUE(found);
    EXPECT_EQ(*found, &inner);
    found = cap_lookup(root.capability, 0x3'5, 4);
    ASSERT_TRUE(found);
    EXPECT_TRUE((*found)->is_empty());
}

TEST_F(CapLookup, RightsPlayNoPart) {
    Slot& root = make(Type::CNode, 4);
    root.capability.rights = 0;
    EXPECT_TRUE(cap_lookup(root.capability, 3, 4));
}

TEST_F(CapLookup, EachLevelHasItsGuardAndItsSize) {
    Slot& root = make(Type::CNode, 4);
    Slot& inner = cnode_of(root.capability).slot(2);
    make_in(inner, Type::CNode, 3);
    inner.capability.guard_bits = 5;
    inner.capability.value = 0b10101;
    const Image before{arena};
    const auto found = cap_lookup(root.capability, 0b0010'10101'110, 12);
    ASSERT_TRUE(found);
    EXPECT_EQ(*found, &cnode_of(inner.capability).slot(6));
    EXPECT_TRUE(is(failure(root.capability, 0b0010'10111'110, 12), Kind::GuardMismatch, 1, 8));
    EXPECT_TRUE(is(failure(root.capability, 0b0010'10101'11, 11), Kind::DepthMismatch, 1, 7))
        << "bits_left is counted before the guard";
    EXPECT_TRUE(is(failure(root.capability, 0b0010'10101'000, 12), Kind::NoSlot, 1, 8));
    EXPECT_TRUE(is(failure(root.capability, 0b0010'10101'110'1, 13), Kind::Missing, 2, 1));
    EXPECT_TRUE(before.is_unchanged());
}

}  // namespace
}  // namespace lab
