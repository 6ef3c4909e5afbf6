// SPDX-License-Identifier: MIT
// Task lab8.ipc_send.
#include "kern/cap/ipc_send.hh"

#include "micro_fixture.hh"

namespace lab {
namespace {

class IpcSend : public MicroTest {
   protected:
    void SetUp() override {
        MicroTest::SetUp();
        endpoint = &endpoint_of(make(Type::Endpoint).capability);
        sender = &running_thread();
        sender->message = message();
    }
    Endpoint* endpoint = nullptr;
    Tcb* sender = nullptr;
};

TEST_F(IpcSend, TheFirstReceiverGetsTheMessage) {
    Tcb& first = thread();
    Tcb& second = thread();
    Tcb& other = thread();
    receiving(first, *endpoint);
    receiving(second, *endpoint);
    wake(kernel(), other, Place::Last);
    ipc_send(kernel(), *sender, *endpoint, {.badge = 7});
    EXPECT_EQ(first.message.label, sender->message.label);
    EXPECT_EQ(first.message.badge, 7U);
    EXPECT_EQ(first.state, State::Ready);
    EXPECT_TRUE(is_queue(ready(), {&first, &other}));
    EXPECT_TRUE(is_queue(endpoint->queue, {&second}));
    EXPECT_EQ(sender->state, State::Running);
    EXPECT_EQ(kernel().current(), sender);
    EXPECT_EQ(first.caller, nullptr);
}

TEST_F(IpcSend, WithoutAReceiverTheSenderWaitsAsTheLastOne) {
    Tcb& first = thread();
    sending(first, *endpoint, 1);
    ipc_send(kernel(), *sender, *endpoint, {.badge = 7, .may_grant = true});
    EXPECT_EQ(sender->state, State::Sending);
    EXPECT_EQ(sender->badge, 7U);
    EXPECT_TRUE(sender->may_grant);
    EXPECT_FALSE(sender->is_call);
    EXPECT_TRUE(is_queue(endpoint->queue, {&first, sender}));
    EXPECT_EQ(kernel().current(), nullptr);
}

TEST_F(IpcSend, NbSendDoesNotWait) {
    ipc_send(kernel(), *sender, *endpoint, {.is_blocking = false});
    EXPECT_EQ(sender->state, State::Running);
    EXPECT_TRUE(is_queue(endpoint->queue, {}));
}

TEST_F(IpcSend, ACallStandsInTheCallersSlot) {
    Tcb& server = thread();
    receiving(server, *endpoint, true);
    ipc_send(kernel(), *sender, *endpoint, {.badge = 7, .is_call = true});
    EXPECT_EQ(sender->state, State::Calling);
    EXPECT_EQ(sender->queue, nullptr);
    EXPECT_EQ(sender->replier, &server);
    EXPECT_EQ(server.caller, sender);
    EXPECT_TRUE(server.reply_may_grant);
    EXPECT_EQ(server.state, State::Ready);
    EXPECT_EQ(kernel().current(), nullptr);
}

TEST_F(IpcSend, ACallThatWaitsIsStillACall) {
    ipc_send(kernel(), *sender, *endpoint, {.badge = 7, .is_call = true});
    EXPECT_EQ(sender->state, State::Sending);
    EXPECT_TRUE(sender->is_call);
}

}  // namespace
}  // namespace lab
