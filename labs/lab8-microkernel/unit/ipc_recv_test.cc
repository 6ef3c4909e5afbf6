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
        slot = &make(Type::Endpoint);
        endpoint = &endpoint_of(slot->capability);
        receiver = &running_thread();
        receiver->message = message();
        sender = &thread();
        sender->message = message();
    }
    void receive(const Receiving& how) { ipc_recv(kernel(), *receiver, *endpoint, how); }
    /// Binds a notification to the receiver that is active.
    Notification& bind(std::uint64_t word) {
        Notification& notification = notification_of(make(Type::Notification).capability);
        notification.bound = receiver;
        receiver->bound = &notification;
        notification.active = 1;
        notification.word = word;
        return notification;
    }

    Slot* slot = nullptr;
    Endpoint* endpoint = nullptr;
    Tcb* receiver = nullptr;
    Tcb* sender = nullptr;
};

TEST_F(IpcRecv, ASendersMessageIsTaken) {
    sending(*sender, *endpoint, 7);
    receive({});
    EXPECT_EQ(receiver->message.label, sender->message.label);
    EXPECT_EQ(receiver->message.words[1], sender->message.words[1]);
    EXPECT_EQ(receiver->state, State::Running);
    EXPECT_TRUE(is_queue(endpoint->queue, {}));
}

TEST_F(IpcRecv, WithTheSendersBadge) {
    sending(*sender, *endpoint, ~7ULL);
    receive({});
    EXPECT_EQ(receiver->message.badge, ~7ULL);
}

TEST_F(IpcRecv, CapabilitiesGoIfTheSenderMayGrant) {
    copy(make(Type::Endpoint), slot_of(*sender, 3));
    give_buffer(*sender).sent = {3, 0, 0};
    give_buffer(*receiver).received = {5, 0, 0};
    sender->message.capabilities = 1;
    for (const bool may_grant : {false, true}) {
        sending(*sender, *endpoint, 7);
        sender->may_grant = may_grant;
        receive({.may_grant = !may_grant});
        EXPECT_EQ(receiver->message.capabilities, may_grant ? 1U : 0U);
        EXPECT_NE(slot_of(*receiver, 5).is_empty(), may_grant);
        leave_queue(*sender);
    }
}

TEST_F(IpcRecv, TheSenderThatCameFirst) {
    Tcb& second = thread();
    Tcb& third = thread();
    for (Tcb* const one : {sender, &second, &third}) sending(*one, *endpoint, 7);
    receive({});
    EXPECT_EQ(receiver->message.label, sender->message.label);
    EXPECT_TRUE(is_queue(endpoint->queue, {&second, &third}));
}

TEST_F(IpcRecv, ASenderGoesOn) {
    sending(*sender, *endpoint, 7);
    receive({});
    EXPECT_EQ(sender->state, State::Ready);
    EXPECT_EQ(sender->queue, &kernel().ready[sender->priority]);
    EXPECT_EQ(sender->replier, nullptr);
    EXPECT_EQ(receiver->caller, nullptr);
}

TEST_F(IpcRecv, AsTheLastOneToRun) {
    Tcb& other = thread();
    wake(kernel(), other, Place::Last);
    sending(*sender, *endpoint, 7);
    receive({});
    EXPECT_TRUE(is_queue(ready(), {&other, sender}));
}

TEST_F(IpcRecv, TheReceiverGoesOnToo) {
    sender->priority = 5;
    sending(*sender, *endpoint, 7);
    receive({});
    EXPECT_EQ(kernel().current(), receiver) << "who runs next is not decided here";
}

TEST_F(IpcRecv, ACallerWaitsForItsReply) {
    sending(*sender, *endpoint, 7, true);
    receive({});
    EXPECT_EQ(receiver->message.label, sender->message.label);
    EXPECT_EQ(sender->state, State::Calling);
    EXPECT_EQ(sender->queue, nullptr);
    EXPECT_EQ(sender->replier, receiver);
    EXPECT_EQ(receiver->caller, sender);
}

TEST_F(IpcRecv, AReplyMayGrantAsTheReceiverMay) {
    for (const bool may_grant : {true, false}) {
        sending(*sender, *endpoint, 7, true);
        sender->may_grant = !may_grant;
        receive({.may_grant = may_grant});
        EXPECT_EQ(receiver->reply_may_grant, may_grant);
        leave_queue(*sender);
    }
}

TEST_F(IpcRecv, WithoutASenderTheReceiverWaits) {
    receive({});
    EXPECT_EQ(receiver->state, State::Receiving);
    EXPECT_TRUE(is_queue(endpoint->queue, {receiver}));
    EXPECT_EQ(kernel().current(), nullptr);
}

TEST_F(IpcRecv, ItWaitsBehindThoseThatCameBefore) {
    Tcb& second = thread();
    const Message before = receiver->message;
    receiving(*sender, *endpoint);
    receiving(second, *endpoint);
    receive({});
    EXPECT_EQ(receiver->message, before) << "a message of one who receives too";
    EXPECT_TRUE(is_queue(endpoint->queue, {sender, &second, receiver}));
}

TEST_F(IpcRecv, ItsRightToGrantIsKept) {
    for (const bool may_grant : {true, false}) {
        receive({.may_grant = may_grant});
        EXPECT_EQ(receiver->may_grant, may_grant);
        leave_queue(*receiver);
    }
}

TEST_F(IpcRecv, AReceiverThatWaitsCanBeCancelled) {
    receive({});
    end_object(kernel(), slot->capability);
    EXPECT_EQ(receiver->state, State::Ready);
    EXPECT_EQ(receiver->status, Status::Cancelled);
    EXPECT_TRUE(is_queue(endpoint->queue, {}));
}

TEST_F(IpcRecv, NbRecvDoesNotWait) {
    receiving(*sender, *endpoint);
    receiver->message.badge = 9;
    receive({.is_blocking = false});
    EXPECT_EQ(receiver->state, State::Running);
    EXPECT_EQ(receiver->message.badge, 0U) << "the word 0";
    EXPECT_EQ(receiver->message.label, 0U);
    EXPECT_EQ(receiver->message.length, 0U);
    EXPECT_TRUE(is_queue(endpoint->queue, {sender}));
}

TEST_F(IpcRecv, NbRecvIsAReceiveWhereSomebodyWaits) {
    sending(*sender, *endpoint, 7);
    receive({.is_blocking = false});
    EXPECT_EQ(receiver->message.label, sender->message.label);
    EXPECT_TRUE(is_queue(endpoint->queue, {}));
}

TEST_F(IpcRecv, ABoundNotificationGoesFirst) {
    bind(~0x50ULL);
    sending(*sender, *endpoint, 7);
    const Image before{*sender};
    receive({});
    EXPECT_EQ(receiver->message.badge, ~0x50ULL);
    EXPECT_EQ(receiver->message.length, 0U);
    EXPECT_EQ(receiver->state, State::Running);
    EXPECT_TRUE(before.is_unchanged());
    EXPECT_TRUE(is_queue(endpoint->queue, {sender}));
}

TEST_F(IpcRecv, ItsWordIsTakenOnce) {
    const Notification& notification = bind(0x50);
    receive({.is_blocking = false});
    EXPECT_EQ(notification.active, 0U);
    EXPECT_EQ(notification.word, 0U);
}

TEST_F(IpcRecv, ASignalWithoutABadgeIsOne) {
    const Notification& notification = bind(0);
    sending(*sender, *endpoint, 7);
    receive({});
    EXPECT_EQ(receiver->message.badge, 0U);
    EXPECT_EQ(notification.active, 0U);
    EXPECT_TRUE(is_queue(endpoint->queue, {sender}));
}

TEST_F(IpcRecv, ABoundNotificationThatIsNotActiveIsPassed) {
    bind(0).active = 0;
    sending(*sender, *endpoint, 7);
    receive({});
    EXPECT_EQ(receiver->message.label, sender->message.label);
}

TEST_F(IpcRecv, WhoReceivesAnewWillNotReply) {
    Tcb& caller = thread();
    const auto receive_anew = [&](const Receiving& how) {
        sleep(kernel(), caller, State::Calling, nullptr);
        put_caller(*receiver, caller, true);
        receive(how);
        EXPECT_NE(receiver->caller, &caller);
        EXPECT_EQ(caller.replier, nullptr);
        EXPECT_EQ(caller.state, State::Calling);
    };
    receive_anew({.is_blocking = false});
    sending(*sender, *endpoint, 7);
    receive_anew({});
    EXPECT_FALSE(receiver->reply_may_grant);
    leave_queue(*sender);
    sending(*sender, *endpoint, 7, true);
    receive_anew({});
    EXPECT_EQ(receiver->caller, sender);
    drop_caller(*receiver);
    bind(0x50);
    receive_anew({});
    receive_anew({});
    EXPECT_EQ(receiver->state, State::Receiving);
}

}  // namespace
}  // namespace lab
