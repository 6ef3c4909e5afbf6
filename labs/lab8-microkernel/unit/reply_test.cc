// SPDX-License-Identifier: MIT
// Task lab8.reply.
#include "kern/cap/reply.hh"

#include "micro_fixture.hh"

namespace lab {
namespace {

class Reply : public MicroTest {
   protected:
    void SetUp() override {
        MicroTest::SetUp();
        server = &running_thread();
        server->message = message();
        client = &thread();
        sleep(kernel(), *client, State::Calling, nullptr);
        put_caller(*server, *client, true);
    }
    Tcb* server = nullptr;
    Tcb* client = nullptr;
};

TEST_F(Reply, TheCallerGetsTheMessageAndGoesFirst) {
    Tcb& other = thread();
    wake(kernel(), other, Place::Last);
    client->message.badge = 3;
    reply(kernel(), *server);
    EXPECT_EQ(client->message.label, server->message.label);
    EXPECT_EQ(client->message.words[1], server->message.words[1]);
    EXPECT_EQ(client->message.badge, 0U);
    EXPECT_TRUE(is_queue(ready(), {client, &other}));
    EXPECT_EQ(client->replier, nullptr);
    EXPECT_EQ(server->state, State::Running);
}

TEST_F(Reply, TheSlotIsUsedOnce) {
    reply(kernel(), *server);
    EXPECT_EQ(server->caller, nullptr);
    const std::uint64_t label = client->message.label;
    server->message.label = label + 1;
    reply(kernel(), *server);
    EXPECT_EQ(client->message.label, label);
    EXPECT_TRUE(is_queue(ready(), {client}));
}

TEST_F(Reply, ACallerThatHasDiedHurtsNobody) {
    suspend(kernel(), *client);
    reply(kernel(), *server);
    EXPECT_EQ(client->state, State::Inactive);
    EXPECT_EQ(server->state, State::Running);
}

TEST_F(Reply, CapabilitiesGoAsTheSlotSays) {
    copy(make(Type::Endpoint), slot_of(*server, 3));
    give_buffer(*server).sent = {3, 0, 0};
    give_buffer(*client).received = {5, 0, 0};
    server->message.capabilities = 1;
    reply(kernel(), *server);
    EXPECT_EQ(client->message.capabilities, 1U);
    EXPECT_FALSE(slot_of(*client, 5).is_empty());
}

TEST_F(Reply, AFaultIsAnsweredByItsLabel) {
    const Message had = client->message;
    client->faulted = true;
    server->message.label = 0;
    reply(kernel(), *server);
    EXPECT_EQ(client->state, State::Ready);
    EXPECT_FALSE(client->faulted);
    EXPECT_TRUE(client->message == had);

    leave_queue(*client);
    sleep(kernel(), *client, State::Calling, nullptr);
    put_caller(*server, *client, true);
    client->faulted = true;
    server->message.label = 1;
    reply(kernel(), *server);
    EXPECT_EQ(client->state, State::Inactive);
    EXPECT_EQ(client->queue, nullptr);
    EXPECT_FALSE(client->faulted);
}

}  // namespace
}  // namespace lab
