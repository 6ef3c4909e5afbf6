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
    transfer(*from, *to, 55, false);
    EXPECT_EQ(to->message.label, sent.label);
    EXPECT_EQ(to->message.length, 2U);
    EXPECT_EQ(to->message.capabilities, 0U);
    EXPECT_EQ(to->message.badge, 55U);
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
    transfer(*from, *to, 0, false);
    EXPECT_EQ(to->message.length, 10U);
    EXPECT_EQ(to->message.words, from->message.words);
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
    from->message.length = ~0ULL;
    from->message.capabilities = ~0ULL;
    transfer(*from, *to, 0, true);
    EXPECT_EQ(to->message.length, message_words);
    EXPECT_EQ(to->message.capabilities, 0U);
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

}  // namespace
}  // namespace lab
