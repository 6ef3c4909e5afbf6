// SPDX-License-Identifier: MIT
// Task lab8.ipc_fastpath.
#include "kern/cap/ipc_fastpath.hh"

#include "kern/cap/ipc_recv.hh"
#include "kern/cap/ipc_send.hh"
#include "kern/cap/reply.hh"
#include "micro_fixture.hh"

namespace lab {
namespace {

class IpcFastpath : public MicroTest {
   protected:
    static constexpr std::uint64_t address = 3;
    void SetUp() override {
        MicroTest::SetUp();
        slot = &make(Type::Endpoint);
        self = &running_thread();
        self->message = message();
        mine = &copy(*slot, slot_of(*self, address), all_rights, 9);
        other = &thread();
    }
    Endpoint& endpoint() { return endpoint_of(slot->capability); }
    void other_calls() {
        sleep(kernel(), *other, State::Calling, nullptr);
        put_caller(*self, *other, true);
    }
    /// Whether the fast path does not fire, and changes nothing.
    ::testing::AssertionResult is_refused(FastCall call) {
        const Image before{arena};
        if (ipc_fastpath(kernel(), call, address))
            return ::testing::AssertionFailure() << "it fired";
        if (!before.is_unchanged())
            return ::testing::AssertionFailure() << "it did not fire, and has changed something";
        return ::testing::AssertionSuccess();
    }
    /// Whether it fires, and comes to the same as the slow path and schedule.
    template <class Slow>
    ::testing::AssertionResult is_the_same(FastCall call, Slow slow) {
        const Image before{arena};
        slow();
        schedule(kernel());
        const Image wanted{arena};
        const std::array threads{seen(*self), seen(*other)};
        before.put_back();
        if (!ipc_fastpath(kernel(), call, address))
            return ::testing::AssertionFailure() << "it did not fire";
        if (wanted.is_unchanged()) return ::testing::AssertionSuccess();
        return ::testing::AssertionFailure()
               << "the slow path comes to something else; first "
               << first_difference("the current thread", seen(*self), threads[0])
                      .value_or(first_difference("the other thread", seen(*other), threads[1])
                                    .value_or("in a queue, or in who has the CPU"));
    }
    /// What a test can name of a thread.
    using Seen = std::array<std::pair<const char*, std::uint64_t>, 15>;
    static Seen seen(const Tcb& tcb) {
        const auto number = [](const void* pointer) {
            return reinterpret_cast<std::uintptr_t>(pointer);
        };
        const Message& message = tcb.message;
        return {{{"state", static_cast<std::uint64_t>(tcb.state)},
                 {"message's label", message.label},
                 {"message's length", message.length},
                 {"message's number of capabilities", message.capabilities},
                 {"message's badge", message.badge},
                 {"message's first word", message.words[0]},
                 {"status", static_cast<std::uint64_t>(tcb.status)},
                 {"caller", number(tcb.caller)},
                 {"replier", number(tcb.replier)},
                 {"reply_may_grant", tcb.reply_may_grant ? 1U : 0U},
                 {"may_grant", tcb.may_grant ? 1U : 0U},
                 {"is_call", tcb.is_call ? 1U : 0U},
                 {"badge", tcb.badge},
                 {"queue", number(tcb.queue)},
                 {"cpu", tcb.cpu}}};
    }
    static std::optional<std::string> first_difference(const std::string& who, const Seen& is,
                                                       const Seen& wanted) {
        for (std::size_t i = 0; i < is.size(); ++i)
            if (is[i] != wanted[i])
                return who + "'s " + is[i].first + " is " + hex(is[i].second) + ", wanted is " +
                       hex(wanted[i].second);
        return std::nullopt;
    }
    void slow_call() {
        ipc_send(kernel(), *self, endpoint(), {.badge = 9, .may_grant = true, .is_call = true});
    }
    void slow_reply_recv() {
        reply(kernel(), *self);
        ipc_recv(kernel(), *self, endpoint(), {.may_grant = true});
    }

    Slot* slot = nullptr;
    Slot* mine = nullptr;
    Tcb* self = nullptr;
    Tcb* other = nullptr;
};

TEST_F(IpcFastpath, ACallIsTheSameAsTheSlowOne) {
    receiving(*other, endpoint(), true);
    EXPECT_TRUE(is_the_same(FastCall::Call, [this] { slow_call(); }));
    EXPECT_EQ(kernel().current(), other);
    EXPECT_EQ(other->message.badge, 9U);
    EXPECT_EQ(other->caller, self);
}

TEST_F(IpcFastpath, AReplyRecvIsTheSameAsTheSlowOne) {
    other_calls();
    EXPECT_TRUE(is_the_same(FastCall::ReplyRecv, [this] { slow_reply_recv(); }));
    EXPECT_EQ(kernel().current(), other);
    EXPECT_TRUE(is_queue(endpoint().queue, {self}));
}

TEST_F(IpcFastpath, ThreadsOfTheSamePriorityDoNotMatter) {
    Tcb& third = thread();
    wake(kernel(), third, Place::Last);
    receiving(*other, endpoint());
    EXPECT_TRUE(is_the_same(FastCall::Call, [this] { slow_call(); }));
    EXPECT_TRUE(is_queue(ready(), {&third}));
}

TEST_F(IpcFastpath, AReadyThreadOfAHigherPriorityGoesFirst) {
    Tcb& third = thread(4);
    wake(kernel(), third, Place::Last);
    receiving(*other, endpoint());
    EXPECT_TRUE(is_refused(FastCall::Call));
}

TEST_F(IpcFastpath, LongMessagesAndCapabilitiesTakeTheSlowPath) {
    receiving(*other, endpoint());
    for (const std::uint64_t length : {register_words + 1ULL, 1ULL << 32}) {
        self->message.length = length;
        EXPECT_TRUE(is_refused(FastCall::Call));
    }
    self->message.length = register_words;
    for (const std::uint64_t capabilities : {1ULL, 1ULL << 32}) {
        self->message.capabilities = capabilities;
        EXPECT_TRUE(is_refused(FastCall::Call));
    }
}

TEST_F(IpcFastpath, RightsAndObjectsAreLookedAt) {
    receiving(*other, endpoint());
    mine->capability.rights = read_right | grant_right;
    EXPECT_TRUE(is_refused(FastCall::Call));
    leave_queue(*other);
    other_calls();
    mine->capability.rights = write_right | grant_right;
    EXPECT_TRUE(is_refused(FastCall::ReplyRecv));
    for (const Type type : {Type::Notification, Type::Tcb}) {
        mine->capability = make(type).capability;
        EXPECT_TRUE(is_refused(FastCall::ReplyRecv));
        EXPECT_TRUE(is_refused(FastCall::Call));
    }
}

TEST_F(IpcFastpath, WithoutAReceiverACallTakesTheSlowPath) {
    EXPECT_TRUE(is_refused(FastCall::Call));
    sending(*other, endpoint(), 1);
    EXPECT_TRUE(is_refused(FastCall::Call));
}

TEST_F(IpcFastpath, WhatKeepsAReplyRecv) {
    EXPECT_TRUE(is_refused(FastCall::ReplyRecv)) << "nobody is in the caller's slot";
    other_calls();
    other->faulted = true;
    EXPECT_TRUE(is_refused(FastCall::ReplyRecv)) << "a fault";
    other->faulted = false;
    Notification& notification = notification_of(make(Type::Notification).capability);
    self->bound = &notification;
    notification.active = 1;
    EXPECT_TRUE(is_refused(FastCall::ReplyRecv)) << "a notification is active";
    notification.active = 0;
    Tcb& third = thread();
    sending(third, endpoint(), 1);
    EXPECT_TRUE(is_refused(FastCall::ReplyRecv)) << "a sender waits";
}

TEST_F(IpcFastpath, AReplyRecvIsNotKeptByEqualsEither) {
    other_calls();
    Tcb& third = thread();
    wake(kernel(), third, Place::Last);
    EXPECT_TRUE(is_the_same(FastCall::ReplyRecv, [this] { slow_reply_recv(); }));
}

TEST_F(IpcFastpath, FourWordsAreShort) {
    self->message.length = register_words;
    receiving(*other, endpoint());
    EXPECT_TRUE(is_the_same(FastCall::Call, [this] { slow_call(); }));
}

TEST_F(IpcFastpath, TheRightToGrantIsKept) {
    receiving(*other, endpoint(), true);
    mine->capability.value = ~9ULL;
    const Image before{arena};
    for (const Rights more : {Rights{0}, write_right, grant_right, all_rights}) {
        before.put_back();
        ASSERT_TRUE(ipc_fastpath(kernel(), FastCall::Call, address));
        EXPECT_TRUE(other->reply_may_grant);
        EXPECT_EQ(other->message.badge, ~9ULL) << "all bits of the badge";
        copy(*slot, slot_of(*other, address), static_cast<Rights>(read_right | more));
        ASSERT_TRUE(ipc_fastpath(kernel(), FastCall::ReplyRecv, address));
        EXPECT_EQ(other->may_grant, (more & grant_right) != 0);
    }
}

TEST_F(IpcFastpath, TheOtherThreadKnowsItsCpu) {
    kernel().running = {};
    kernel().cpu = 2;
    kernel().current() = self;
    self->cpu = 2;
    receiving(*other, endpoint());
    ASSERT_TRUE(ipc_fastpath(kernel(), FastCall::Call, address));
    EXPECT_EQ(other->cpu, 2U);
    EXPECT_EQ(kernel().running[2], other);
}

TEST_F(IpcFastpath, AnotherReceiverDoesNotMatter) {
    other_calls();
    Tcb& third = thread();
    receiving(third, endpoint());
    EXPECT_TRUE(is_the_same(FastCall::ReplyRecv, [this] { slow_reply_recv(); }));
    EXPECT_TRUE(is_queue(endpoint().queue, {&third, self}));
}

TEST_F(IpcFastpath, AnAddressThatLeadsNowhere) {
    receiving(*other, endpoint());
    EXPECT_FALSE(ipc_fastpath(kernel(), FastCall::Call, 1ULL << 32 | address));
    take_out(*mine);
    EXPECT_TRUE(is_refused(FastCall::Call));
    self->cnode.capability.guard_bits = 4;
    EXPECT_TRUE(is_refused(FastCall::Call));
}

}  // namespace
}  // namespace lab
