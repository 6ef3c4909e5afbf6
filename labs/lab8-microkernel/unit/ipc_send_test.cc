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
        receiver = &thread();
    }
    void send(const Sending& how) { ipc_send(kernel(), *sender, *endpoint, how); }

    Endpoint* endpoint = nullptr;
    Tcb* sender = nullptr;
    Tcb* receiver = nullptr;
};

TEST_F(IpcSend, AReceiverGetsTheMessage) {
    receiving(*receiver, *endpoint);
    send({.badge = 7});
    EXPECT_EQ(receiver->message.label, sender->message.label);
    EXPECT_EQ(receiver->message.words[1], sender->message.words[1]);
    EXPECT_EQ(receiver->state, State::Ready);
    EXPECT_TRUE(is_queue(endpoint->queue, {}));
    EXPECT_EQ(receiver->caller, nullptr);
}

TEST_F(IpcSend, WithTheBadgeOfTheCapability) {
    receiving(*receiver, *endpoint);
    sender->badge = 8;  // of another send
    send({.badge = ~7ULL});
    EXPECT_EQ(receiver->message.badge, ~7ULL);
}

TEST_F(IpcSend, CapabilitiesGoIfTheSenderMayGrant) {
    copy(make(Type::Endpoint), slot_of(*sender, 3));
    give_buffer(*sender).sent = {3, 0, 0};
    give_buffer(*receiver).received = {5, 0, 0};
    sender->message.capabilities = 1;
    for (const bool may_grant : {false, true}) {
        receiving(*receiver, *endpoint, true);
        sender->may_grant = !may_grant;  // of another send
        send({.badge = 7, .may_grant = may_grant});
        EXPECT_EQ(receiver->message.capabilities, may_grant ? 1U : 0U);
        EXPECT_NE(slot_of(*receiver, 5).is_empty(), may_grant);
        leave_queue(*receiver);
    }
}

TEST_F(IpcSend, TheReceiverThatCameFirst) {
    Tcb& second = thread();
    Tcb& third = thread();
    for (Tcb* const one : {receiver, &second, &third}) receiving(*one, *endpoint);
    send({.badge = 7});
    EXPECT_EQ(receiver->state, State::Ready);
    EXPECT_TRUE(is_queue(endpoint->queue, {&second, &third}));
}

TEST_F(IpcSend, TheReceiverIsTheFirstToRun) {
    Tcb& other = thread();
    wake(kernel(), other, Place::Last);
    receiving(*receiver, *endpoint);
    send({.badge = 7});
    EXPECT_TRUE(is_queue(ready(), {receiver, &other}));
}

TEST_F(IpcSend, TheSenderGoesOn) {
    receiver->priority = 5;
    receiving(*receiver, *endpoint, true);
    const Image before{*sender};
    send({.badge = 7, .may_grant = true});
    EXPECT_TRUE(before.is_unchanged());
    EXPECT_EQ(kernel().current(), sender) << "who runs next is not decided here";
}

TEST_F(IpcSend, WithoutAReceiverTheSenderWaits) {
    send({.badge = 7});
    EXPECT_EQ(sender->state, State::Sending);
    EXPECT_TRUE(is_queue(endpoint->queue, {sender}));
    EXPECT_EQ(kernel().current(), nullptr);
}

TEST_F(IpcSend, ItWaitsBehindThoseThatCameBefore) {
    Tcb& second = thread();
    const Message before = receiver->message;
    sending(*receiver, *endpoint, 1);
    sending(second, *endpoint, 2);
    send({.badge = 7});
    EXPECT_EQ(receiver->message, before) << "it sends too";
    EXPECT_TRUE(is_queue(endpoint->queue, {receiver, &second, sender}));
}

TEST_F(IpcSend, WhatTheReceiverHasToKnowLaterIsKept) {
    for (const bool is_call : {true, false}) {
        for (const bool may_grant : {true, false}) {
            send({.badge = ~7ULL, .may_grant = may_grant, .is_call = is_call});
            EXPECT_EQ(sender->badge, ~7ULL);
            EXPECT_EQ(sender->may_grant, may_grant);
            EXPECT_EQ(sender->is_call, is_call);
            sender->badge = 8;
            leave_queue(*sender);
        }
    }
}

TEST_F(IpcSend, NbSendDoesNotWait) {
    const Image before{arena};
    send({.badge = 7, .may_grant = true, .is_blocking = false});
    EXPECT_TRUE(before.is_unchanged());
    sending(*receiver, *endpoint, 1);
    const Image with_a_sender{arena};
    send({.badge = 7, .is_blocking = false});
    EXPECT_TRUE(with_a_sender.is_unchanged()) << "another sender waits already";
}

TEST_F(IpcSend, NbSendIsASendWhereSomebodyWaits) {
    receiving(*receiver, *endpoint);
    send({.badge = 7, .is_blocking = false});
    EXPECT_EQ(receiver->state, State::Ready);
    EXPECT_EQ(receiver->message.label, sender->message.label);
}

TEST_F(IpcSend, ACallerWaitsForItsReply) {
    receiving(*receiver, *endpoint);
    const Message sent = sender->message;
    send({.badge = 7, .is_call = true});
    EXPECT_EQ(sender->state, State::Calling);
    EXPECT_EQ(sender->queue, nullptr);
    EXPECT_EQ(kernel().current(), nullptr);
    EXPECT_EQ(sender->replier, receiver);
    EXPECT_EQ(receiver->caller, sender);
    EXPECT_EQ(receiver->state, State::Ready);
    EXPECT_EQ(receiver->message.label, sent.label);
}

TEST_F(IpcSend, AReplyMayGrantAsTheReceiverMay) {
    for (const bool may_grant : {true, false}) {
        receiving(*receiver, *endpoint, may_grant);
        send({.badge = 7, .may_grant = !may_grant, .is_call = true});
        EXPECT_EQ(receiver->reply_may_grant, may_grant);
        drop_caller(*receiver);
        leave_queue(*receiver);
    }
}

TEST_F(IpcSend, AFaultIsACallOfTheKernel) {
    receiving(*receiver, *endpoint);
    sender->faulted = true;
    send({.badge = 7, .is_call = true});
    EXPECT_EQ(sender->state, State::Calling);
    EXPECT_TRUE(sender->faulted);
    EXPECT_EQ(receiver->message.label, sender->message.label);
}

}  // namespace
}  // namespace lab
