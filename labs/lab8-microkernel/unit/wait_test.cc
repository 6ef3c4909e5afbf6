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
    Notification* notification = nullptr;
    Tcb* tcb = nullptr;
};

TEST_F(Wait, ASignalThatCameBeforeIsTakenOnce) {
    for (const bool is_blocking : {true, false}) {
        notification->active = 1;
        notification->word = 0x11;
        wait(kernel(), *tcb, *notification, is_blocking);
        EXPECT_EQ(tcb->state, State::Running);
        EXPECT_EQ(tcb->message.badge, 0x11U);
        EXPECT_EQ(tcb->message.length, 0U);
        EXPECT_EQ(notification->active, 0U);
        EXPECT_EQ(notification->word, 0U);
    }
}

TEST_F(Wait, WithoutASignalItWaitsAsTheLastOne) {
    Tcb& first = thread();
    sleep(kernel(), first, State::Waiting, &notification->queue);
    wait(kernel(), *tcb, *notification, true);
    EXPECT_EQ(tcb->state, State::Waiting);
    EXPECT_TRUE(is_queue(notification->queue, {&first, tcb}));
    EXPECT_EQ(kernel().current(), nullptr);
}

TEST_F(Wait, APollDoesNotWait) {
    wait(kernel(), *tcb, *notification, false);
    EXPECT_EQ(tcb->state, State::Running);
    EXPECT_EQ(tcb->message.badge, 0U);
    EXPECT_EQ(tcb->message.label, 0U);
    EXPECT_TRUE(is_queue(notification->queue, {}));
}

TEST_F(Wait, ASignalWithoutABadgeIsOne) {
    notification->active = 1;
    wait(kernel(), *tcb, *notification, true);
    EXPECT_EQ(tcb->state, State::Running);
    EXPECT_EQ(notification->active, 0U);
}

}  // namespace
}  // namespace lab
