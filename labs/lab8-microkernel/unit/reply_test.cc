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
        client = &thread();
        server->message = message();
        client->message = message();
        call();
    }
    /// The client has called the server.
    void call(bool may_grant = true) {
        leave_queue(*client);
        sleep(kernel(), *client, State::Calling, nullptr);
        put_caller(*server, *client, may_grant);
    }
    Tcb* server = nullptr;
    Tcb* client = nullptr;
};

TEST_F(Reply, TheCallerGetsTheMessage) {
    reply(kernel(), *server);
    EXPECT_EQ(client->message.label, server->message.label);
    EXPECT_EQ(client->message.words[1], server->message.words[1]);
    EXPECT_EQ(client->state, State::Ready);
}

TEST_F(Reply, TheBadgeIsZero) {
    client->message.badge = 3;
    client->badge = 7;  // by which it called
    reply(kernel(), *server);
    EXPECT_EQ(client->message.badge, 0U);
}

TEST_F(Reply, TheCallerIsTheFirstToRun) {
    Tcb& other = thread();
    wake(kernel(), other, Place::Last);
    reply(kernel(), *server);
    EXPECT_TRUE(is_queue(ready(), {client, &other}));
}

TEST_F(Reply, TheReplierGoesOn) {
    client->priority = 5;
    server->may_grant = true;
    const Message before = server->message;
    reply(kernel(), *server);
    EXPECT_EQ(client->state, State::Ready);
    EXPECT_EQ(server->message, before);
    EXPECT_EQ(server->state, State::Running);
    EXPECT_TRUE(server->may_grant);
    EXPECT_EQ(kernel().current(), server) << "who runs next is not decided here";
}

TEST_F(Reply, TheSlotIsUsedOnce) {
    reply(kernel(), *server);
    EXPECT_EQ(server->caller, nullptr);
    EXPECT_FALSE(server->reply_may_grant);
    EXPECT_EQ(client->replier, nullptr);
    leave_queue(*client);
    client->state = State::Running;
    client->cpu = 1;
    const std::uint64_t label = client->message.label;
    server->message.label = label + 1;
    reply(kernel(), *server);
    EXPECT_EQ(client->message.label, label);
    EXPECT_EQ(client->state, State::Running);
}

TEST_F(Reply, WithAnEmptySlotNothingHappens) {
    suspend(kernel(), *client);
    const Image before{arena};
    reply(kernel(), *server);
    EXPECT_TRUE(before.is_unchanged());
}

TEST_F(Reply, ACallerThatHasDiedHurtsNobody) {
    end_object(kernel(), {.type = Type::Tcb, .object = reinterpret_cast<std::uint64_t>(client)});
    const Image before{arena};
    reply(kernel(), *server);
    EXPECT_TRUE(before.is_unchanged());
}

TEST_F(Reply, CapabilitiesGoAsTheSlotSays) {
    copy(make(Type::Endpoint), slot_of(*server, 3));
    give_buffer(*server).sent = {3, 0, 0};
    give_buffer(*client).received = {5, 0, 0};
    server->message.capabilities = 1;
    drop_caller(*server);
    for (const bool may_grant : {false, true}) {
        server->may_grant = !may_grant;  // of its last receive
        call(may_grant);
        reply(kernel(), *server);
        EXPECT_EQ(client->message.capabilities, may_grant ? 1U : 0U);
        EXPECT_NE(slot_of(*client, 5).is_empty(), may_grant);
    }
}

TEST_F(Reply, AFaultIsAnsweredByItsLabel) {
    Tcb& other = thread();
    wake(kernel(), other, Place::Last);
    client->faulted = true;
    server->message.label = 0;
    reply(kernel(), *server);
    EXPECT_TRUE(is_queue(ready(), {client, &other}));
    call();
    client->faulted = true;
    server->message.label = 1ULL << 63;
    reply(kernel(), *server);
    EXPECT_EQ(client->state, State::Inactive);
    EXPECT_EQ(client->queue, nullptr);
    EXPECT_EQ(server->caller, nullptr);
    EXPECT_EQ(client->replier, nullptr);
}

TEST_F(Reply, TheRegistersOfAFaultStay) {
    const Message had = client->message;
    for (const std::uint64_t label : {0, 1}) {
        client->faulted = true;
        server->message.label = label;
        reply(kernel(), *server);
        EXPECT_EQ(client->message, had);
        EXPECT_NE(client->state, State::Calling);
        call();
    }
}

TEST_F(Reply, AnAnsweredFaultIsNoneAnyMore) {
    for (const std::uint64_t label : {0, 1}) {
        client->faulted = true;
        server->message.label = label;
        reply(kernel(), *server);
        EXPECT_FALSE(client->faulted);
        call();
    }
}

}  // namespace
}  // namespace lab
