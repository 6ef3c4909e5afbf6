// SPDX-License-Identifier: MIT
// Task lab8.transfer.
#include "kern/cap/transfer.hh"

#include "micro_fixture.hh"

namespace lab {
namespace {

class Transfer : public MicroTest {
   protected:
    void SetUp() override {
        MicroTest::SetUp();
        from = &thread();
        to = &thread();
        from->message = message();
        to->message = message();
    }
    Tcb* from = nullptr;
    Tcb* to = nullptr;
};

TEST_F(Transfer, RegistersAndTheBadgeArrive) {
    const Message sent = from->message, had = to->message;
    transfer(*from, *to, ~55ULL, false);
    EXPECT_EQ(to->message.label, sent.label);
    EXPECT_EQ(to->message.length, 2U);
    EXPECT_EQ(to->message.capabilities, 0U);
    EXPECT_EQ(to->message.badge, ~55ULL);
    EXPECT_EQ(to->message.words[0], sent.words[0]);
    EXPECT_EQ(to->message.words[1], sent.words[1]);
    EXPECT_EQ(to->message.words[2], had.words[2]) << "words behind the length stay";
    EXPECT_EQ(to->message.words[3], had.words[3]);
    EXPECT_TRUE(from->message == sent);
}

TEST_F(Transfer, MoreWordsGoByTheBuffers) {
    IpcBuffer& source = give_buffer(*from);
    IpcBuffer& destination = give_buffer(*to);
    for (std::uint64_t& word : source.words) word = random().next();
    from->message.length = 10;
    from->status = Status::Cancelled;
    transfer(*from, *to, 0, false);
    EXPECT_EQ(to->message.length, 10U);
    EXPECT_EQ(to->message.words, from->message.words);
    EXPECT_EQ(to->status, Status::Done) << "what stands behind the registers is no word";
    for (unsigned i = register_words; i < 10; ++i) EXPECT_EQ(destination.words[i], source.words[i]);
    EXPECT_EQ(destination.words[10], 0U);
}

TEST_F(Transfer, WithoutABufferOnlyRegistersGo) {
    from->message.length = 10;
    from->message.capabilities = 1;
    give_buffer(*from);
    transfer(*from, *to, 0, true);
    EXPECT_EQ(to->message.length, register_words);
    EXPECT_EQ(to->message.capabilities, 0U);
}

TEST_F(Transfer, NumbersOfAProgramAreNotTrusted) {
    give_buffer(*from);
    give_buffer(*to);
    for (const std::uint64_t number : {~0ULL, 1ULL << 32}) {
        from->message.length = number;
        from->message.capabilities = number;
        transfer(*from, *to, 0, true);
        EXPECT_EQ(to->message.length, message_words);
        EXPECT_EQ(to->message.capabilities, 0U);
    }
}

TEST_F(Transfer, CapabilitiesAreDerived) {
    Slot& endpoint = copy(make(Type::Endpoint), slot_of(*from, 3), write_right, 9);
    give_buffer(*from).sent = {3, 3, 0};
    give_buffer(*to).received = {5, 6, 0};
    from->message.capabilities = 2;
    transfer(*from, *to, 0, true);
    EXPECT_EQ(to->message.capabilities, 2U);
    for (const unsigned index : {5U, 6U}) {
        EXPECT_TRUE(slot_of(*to, index).capability == endpoint.capability);
        EXPECT_EQ(parent_of(slot_of(*to, index)), &endpoint);
    }
}

TEST_F(Transfer, WithoutTheRightToGrantNoneGoes) {
    copy(make(Type::Endpoint), slot_of(*from, 3));
    give_buffer(*from).sent = {3, 0, 0};
    give_buffer(*to).received = {5, 0, 0};
    from->message.capabilities = 1;
    transfer(*from, *to, 0, false);
    EXPECT_EQ(to->message.capabilities, 0U);
    EXPECT_TRUE(slot_of(*to, 5).is_empty());
}

TEST_F(Transfer, TheFirstThatCannotBeGivenEndsIt) {
    Slot& endpoint = copy(make(Type::Endpoint), slot_of(*from, 3));
    copy(endpoint, slot_of(*to, 6));
    give_buffer(*from).sent = {3, 3, 3};
    give_buffer(*to).received = {5, 6, 7};
    from->message.capabilities = 3;
    transfer(*from, *to, 0, true);
    EXPECT_EQ(to->message.capabilities, 1U);
    EXPECT_FALSE(slot_of(*to, 5).is_empty());
    EXPECT_TRUE(slot_of(*to, 7).is_empty());
}

TEST_F(Transfer, AtMostFourWordsAreInRegisters) {
    IpcBuffer& source = give_buffer(*from);
    IpcBuffer& destination = give_buffer(*to);
    for (std::uint64_t& word : source.words) word = random().next();
    const IpcBuffer before = source;
    for (const std::uint64_t length : {0U, 1U, 4U, 5U, 63U, 64U}) {
        destination.words.fill(7);
        from->message.length = length;
        transfer(*from, *to, 0, false);
        EXPECT_EQ(to->message.length, length);
        for (unsigned i = register_words; i < message_words; ++i)
            EXPECT_EQ(destination.words[i], i < length ? source.words[i] : 7)
                << "words from the length on stay";
    }
    EXPECT_EQ(source.words, before.words);
}

TEST_F(Transfer, BothNeedABuffer) {
    from->message.length = 10;
    from->message.capabilities = 1;
    to->message.capabilities = 2;  // of another message
    give_buffer(*to);
    transfer(*from, *to, 0, true);
    EXPECT_EQ(to->message.length, register_words);
    EXPECT_EQ(to->message.capabilities, 0U);
}

TEST_F(Transfer, ABufferMustBeReadAndWritten) {
    give_buffer(*from);
    give_buffer(*to);
    from->message.length = 10;
    to->buffer.capability.rights = read_right;
    transfer(*from, *to, 0, true);
    EXPECT_EQ(to->message.length, register_words);
    to->buffer.capability.rights = all_rights;
    to->buffer.capability.is_device = 1;
    transfer(*from, *to, 0, true);
    EXPECT_EQ(to->message.length, register_words);
    to->buffer.capability.is_device = 0;
    transfer(*from, *to, 0, true);
    EXPECT_EQ(to->message.length, 10U);
}

TEST_F(Transfer, ThreeCapabilitiesAreTheMost) {
    copy(make(Type::Endpoint), slot_of(*from, 3));
    IpcBuffer& source = give_buffer(*from);
    IpcBuffer& destination = give_buffer(*to);
    source.sent = {3, 3, 3};
    source.received = {3, 3, 3};  // behind the last one that is sent
    destination.received = {5, 6, 7};
    reinterpret_cast<std::uint64_t*>(&destination + 1)[0] = 8;
    from->message.capabilities = (1ULL << 32) + 1;
    transfer(*from, *to, 0, true);
    EXPECT_EQ(to->message.capabilities, 3U);
    EXPECT_TRUE(slot_of(*to, 8).is_empty());
}

TEST_F(Transfer, AllRightsGo) {
    copy(make(Type::Endpoint), slot_of(*from, 3), read_right | grant_right);
    give_buffer(*from).sent = {3, 0, 0};
    give_buffer(*to).received = {5, 0, 0};
    from->message.capabilities = 1;
    const Message before = from->message;
    transfer(*from, *to, 0, true);
    EXPECT_EQ(slot_of(*to, 5).capability.rights, read_right | grant_right);
    EXPECT_FALSE(slot_of(*from, 3).is_empty()) << "the sender keeps its own";
    EXPECT_EQ(from->message, before);
}

TEST_F(Transfer, WhatCannotBeDerivedEndsItToo) {
    make_in(slot_of(*from, 3), Type::PageTable);
    make_in(slot_of(*from, 4), Type::Endpoint);
    give_buffer(*from).sent = {3, 4, 9};
    give_buffer(*to).received = {5, 6, 7};
    from->message.capabilities = 2;
    transfer(*from, *to, 0, true);
    EXPECT_EQ(to->message.capabilities, 0U);
    EXPECT_TRUE(slot_of(*to, 6).is_empty());
    buffer_of(*from)->sent = {4, 0, 4};  // no slot
    transfer(*from, *to, 0, true);
    EXPECT_EQ(to->message.capabilities, 1U);
    constexpr std::uint64_t far = 1ULL << 32;  // an address has 64 bits
    buffer_of(*from)->sent = {4, far | 4, 4};
    buffer_of(*to)->received = {8, 9, 10};
    transfer(*from, *to, 0, true);
    EXPECT_EQ(to->message.capabilities, 1U);
    buffer_of(*from)->sent = {4, 4, 4};
    buffer_of(*to)->received = {11, far | 12, 13};
    transfer(*from, *to, 0, true);
    EXPECT_EQ(to->message.capabilities, 1U);
}

TEST_F(Transfer, BothMayHaveTheSameFrame) {
    IpcBuffer& buffer = give_buffer(*from);
    for (std::uint64_t& word : buffer.words) word = random().next();
    copy(from->buffer, to->buffer);
    const auto before = buffer.words;
    from->message.length = message_words;
    transfer(*from, *to, 0, true);
    EXPECT_EQ(to->message.length, message_words);
    EXPECT_EQ(buffer.words, before);
}

}  // namespace
}  // namespace lab
