// SPDX-License-Identifier: MIT
// Task lab8.ipc_recv.
#include "kern/cap/ipc_recv.hh"

#include "micro_fixture.hh"

namespace lab {
namespace {

class IpcRecv : public MicroTest {
   protected:
    void SetUp() override {
        MicroTest::SetUp();
        endpoint = &endpoint_of(make(Type::Endpoint).capability);
        receiver = &running_thread();
        receiver->message = message();
    }
    Endpoint* endpoint = nullptr;
    Tcb* receiver = nullptr;
};

TEST_F(IpcRecv, TheFirstSendersMessageIsTaken) {
    Tcb& first = thread();
    Tcb& second = thread();
    Tcb& other = thread();
    first.message = message();
    sending(first, *endpoint, 7);
    sending(second, *endpoint, 8);
    wake(kernel(), other, Place::Last);
    ipc_recv(kernel(), *receiver, *endpoint, {});
    EXPECT_EQ(receiver->message.label, first.message.label);
    EXPECT_EQ(receiver->message.badge, 7U);
    EXPECT_EQ(receiver->state, State::Running);
    EXPECT_TRUE(is_queue(ready(), {&other, &first}));
    EXPECT_TRUE(is_queue(endpoint->queue, {&second}));
}

TEST_F(IpcRecv, ACallerWaitsForItsReply) {
    Tcb& caller = thread();
    sending(caller, *endpoint, 7, true);
    ipc_recv(kernel(), *receiver, *endpoint, {.may_grant = true});
    EXPECT_EQ(caller.state, State::Calling);
    EXPECT_EQ(caller.queue, nullptr);
    EXPECT_EQ(caller.replier, receiver);
    EXPECT_EQ(receiver->caller, &caller);
    EXPECT_TRUE(receiver->reply_may_grant);
}

TEST_F(IpcRecv, WithoutASenderTheReceiverWaitsAsTheLastOne) {
    Tcb& first = thread();
    receiving(first, *endpoint);
    ipc_recv(kernel(), *receiver, *endpoint, {.may_grant = true});
    EXPECT_EQ(receiver->state, State::Receiving);
    EXPECT_TRUE(receiver->may_grant);
    EXPECT_TRUE(is_queue(endpoint->queue, {&first, receiver}));
    EXPECT_EQ(kernel().current(), nullptr);
}

TEST_F(IpcRecv, NbRecvDoesNotWait) {
    ipc_recv(kernel(), *receiver, *endpoint, {.is_blocking = false});
    EXPECT_EQ(receiver->state, State::Running);
    EXPECT_EQ(receiver->message.badge, 0U);
    EXPECT_EQ(receiver->message.length, 0U);
    EXPECT_TRUE(is_queue(endpoint->queue, {}));
}

TEST_F(IpcRecv, ABoundNotificationGoesFirst) {
    Notification& notification = notification_of(make(Type::Notification).capability);
    notification.bound = receiver;
    receiver->bound = &notification;
    notification.active = 1;
    notification.word = 0x50;
    Tcb& sender = thread();
    sending(sender, *endpoint, 7);
    ipc_recv(kernel(), *receiver, *endpoint, {});
    EXPECT_EQ(receiver->message.badge, 0x50U);
    EXPECT_EQ(receiver->message.length, 0U);
    EXPECT_EQ(notification.active, 0U);
    EXPECT_EQ(notification.word, 0U);
    EXPECT_TRUE(is_queue(endpoint->queue, {&sender}));
}

TEST_F(IpcRecv, WhoReceivesAnewWillNotReply) {
    Tcb& caller = thread();
    sleep(kernel(), caller, State::Calling, nullptr);
    put_caller(*receiver, caller, true);
    ipc_recv(kernel(), *receiver, *endpoint, {.is_blocking = false});
    EXPECT_EQ(receiver->caller, nullptr);
    EXPECT_EQ(caller.replier, nullptr);
    EXPECT_EQ(caller.state, State::Calling);
}

}  // namespace
}  // namespace lab
