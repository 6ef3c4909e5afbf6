// SPDX-License-Identifier: MIT
// Task lab8.signal.
#include "kern/cap/signal.hh"

#include "micro_fixture.hh"

#include "kern/cap/calls.hh"

namespace lab {
namespace {

class Signal : public MicroTest {
   protected:
    void SetUp() override {
        MicroTest::SetUp();
        notification = &notification_of(make(Type::Notification).capability);
    }
    Notification* notification = nullptr;
};

TEST_F(Signal, BadgesAddUpUntilSomebodyComes) {
    signal(kernel(), *notification, 0x11);
    EXPECT_EQ(notification->active, 1U);
    signal(kernel(), *notification, 0x21);
    EXPECT_EQ(notification->word, 0x31U);
}

TEST_F(Signal, ASignalWithoutABadgeIsNotLost) {
    signal(kernel(), *notification, 0);
    EXPECT_EQ(notification->active, 1U);
}

TEST_F(Signal, TheFirstThatWaitsIsWoken) {
    Tcb& first = thread();
    Tcb& second = thread();
    Tcb& other = thread();
    sleep(kernel(), first, State::Waiting, &notification->queue);
    sleep(kernel(), second, State::Waiting, &notification->queue);
    wake(kernel(), other, Place::Last);
    signal(kernel(), *notification, 0x11);
    EXPECT_EQ(first.message.badge, 0x11U);
    EXPECT_TRUE(is_queue(ready(), {&other, &first}));
    EXPECT_TRUE(is_queue(notification->queue, {&second}));
    EXPECT_EQ(notification->active, 0U);
    EXPECT_EQ(notification->word, 0U);
}

TEST_F(Signal, ABoundThreadIsTakenFromItsEndpoint) {
    Endpoint& endpoint = endpoint_of(make(Type::Endpoint).capability);
    Tcb& tcb = thread();
    tcb.bound = notification;
    notification->bound = &tcb;
    receiving(tcb, endpoint);
    signal(kernel(), *notification, 0x11);
    EXPECT_EQ(tcb.message.badge, 0x11U);
    EXPECT_TRUE(is_queue(endpoint.queue, {}));
    EXPECT_TRUE(is_queue(ready(), {&tcb}));
    EXPECT_EQ(notification->active, 0U);
}

TEST_F(Signal, ABoundThreadThatDoesNotReceiveFindsItLater) {
    Tcb& tcb = running_thread();
    tcb.bound = notification;
    notification->bound = &tcb;
    signal(kernel(), *notification, 0x11);
    EXPECT_EQ(tcb.state, State::Running);
    EXPECT_EQ(notification->word, 0x11U);
}

TEST_F(Signal, AnInterruptIsOne) {
    Tcb& tcb = thread();
    sleep(kernel(), tcb, State::Waiting, &notification->queue);
    kernel().interrupts[5] = {.notification = notification, .badge = 0x20, .has_handler = 1};
    interrupt_arrived(kernel(), 5);
    EXPECT_EQ(tcb.message.badge, 0x20U);
    EXPECT_EQ(machine.masked, 1U << 5);
    EXPECT_EQ(kernel().current(), &tcb);
}

}  // namespace
}  // namespace lab
