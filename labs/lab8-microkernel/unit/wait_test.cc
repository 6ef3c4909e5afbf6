// SPDX-License-Identifier: MIT
// Task lab8.wait.
#include "kern/cap/wait.hh"

#include "micro_fixture.hh"

namespace lab {
namespace {

class Wait : public MicroTest {
   protected:
    void SetUp() override {
        MicroTest::SetUp();
        notification = &notification_of(make(Type::Notification).capability);
        tcb = &running_thread();
        tcb->message = message();
    }
    void signalled(std::uint64_t word) {
        notification->active = 1;
        notification->word = word;
    }
    Notification* notification = nullptr;
    Tcb* tcb = nullptr;
};

TEST_F(Wait, ASignalThatCameBeforeIsTaken) {
    constexpr std::uint64_t word = 1ULL << 63 | 0x11;
    signalled(word);
    wait(kernel(), *tcb, *notification, true);
    EXPECT_EQ(tcb->state, State::Running);
    EXPECT_EQ(tcb->message.badge, word);
    EXPECT_EQ(tcb->message.label, 0U);
    EXPECT_EQ(tcb->message.length, 0U);
    EXPECT_EQ(kernel().current(), tcb);
    EXPECT_TRUE(is_queue(notification->queue, {}));
}

TEST_F(Wait, ItIsTakenOnce) {
    signalled(0x11);
    wait(kernel(), *tcb, *notification, true);
    EXPECT_EQ(notification->active, 0U);
    wait(kernel(), *tcb, *notification, true);
    EXPECT_EQ(tcb->state, State::Waiting);
}

TEST_F(Wait, NoBitOfItsWordStays) {
    signalled(0x11);
    wait(kernel(), *tcb, *notification, true);
    EXPECT_EQ(notification->word, 0U);
}

TEST_F(Wait, WithoutASignalItWaits) {
    wait(kernel(), *tcb, *notification, true);
    EXPECT_EQ(tcb->state, State::Waiting);
    EXPECT_TRUE(is_queue(notification->queue, {tcb}));
    EXPECT_EQ(kernel().current(), nullptr);
}

TEST_F(Wait, BehindThoseThatCameBefore) {
    Tcb& first = thread();
    Tcb& second = thread();
    for (Tcb* const one : {&first, &second})
        sleep(kernel(), *one, State::Waiting, &notification->queue);
    wait(kernel(), *tcb, *notification, true);
    EXPECT_TRUE(is_queue(notification->queue, {&first, &second, tcb}));
}

TEST_F(Wait, APollDoesNotWait) {
    Tcb& other = thread();
    sleep(kernel(), other, State::Waiting, &notification->queue);
    wait(kernel(), *tcb, *notification, false);
    EXPECT_EQ(tcb->state, State::Running);
    EXPECT_EQ(tcb->message.badge, 0U);
    EXPECT_EQ(tcb->message.label, 0U) << "an empty message";
    EXPECT_EQ(tcb->message.length, 0U);
    EXPECT_TRUE(is_queue(notification->queue, {&other}));
}

TEST_F(Wait, APollTakesASignal) {
    signalled(0x11);
    wait(kernel(), *tcb, *notification, false);
    EXPECT_EQ(tcb->message.badge, 0x11U);
    EXPECT_EQ(notification->active, 0U);
}

TEST_F(Wait, ASignalWithoutABadgeIsOne) {
    for (const bool is_blocking : {true, false}) {
        signalled(0);
        wait(kernel(), *tcb, *notification, is_blocking);
        EXPECT_EQ(tcb->state, State::Running);
        EXPECT_EQ(tcb->message.badge, 0U);
        EXPECT_EQ(notification->active, 0U);
    }
}

TEST_F(Wait, TheCallersSlotStays) {
    Tcb& caller = thread();
    sleep(kernel(), caller, State::Calling, nullptr);
    put_caller(*tcb, caller, true);
    for (const bool is_blocking : {false, true}) {
        wait(kernel(), *tcb, *notification, is_blocking);
        EXPECT_EQ(tcb->caller, &caller);
        EXPECT_EQ(caller.replier, tcb);
        EXPECT_TRUE(tcb->reply_may_grant);
    }
}

}  // namespace
}  // namespace lab
