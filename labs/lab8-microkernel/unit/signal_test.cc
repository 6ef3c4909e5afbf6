// SPDX-License-Identifier: MIT
// Task lab8.signal.
#include "kern/cap/signal.hh"

#include "kern/cap/calls.hh"
#include "micro_fixture.hh"

namespace lab {
namespace {

class Signal : public MicroTest {
   protected:
    void SetUp() override {
        MicroTest::SetUp();
        notification = &notification_of(make(Type::Notification).capability);
        tcb = &thread();
        tcb->message = message();
    }
    void waiting(Tcb& one) { sleep(kernel(), one, State::Waiting, &notification->queue); }
    void bind() {
        tcb->bound = notification;
        notification->bound = tcb;
    }
    Notification* notification = nullptr;
    Tcb* tcb = nullptr;
};

TEST_F(Signal, ASignalIsKeptUntilSomebodyComes) {
    signal(kernel(), *notification, 0x11);
    EXPECT_EQ(notification->active, 1U);
    EXPECT_EQ(notification->word, 0x11U);
}

TEST_F(Signal, BadgesAddUp) {
    signal(kernel(), *notification, 0x11);
    signal(kernel(), *notification, 1ULL << 63 | 0x21);
    EXPECT_EQ(notification->word, 1ULL << 63 | 0x31);
    EXPECT_EQ(notification->active, 1U);
}

TEST_F(Signal, ASignalWithoutABadgeIsNotLost) {
    signal(kernel(), *notification, 0);
    EXPECT_EQ(notification->active, 1U);
    EXPECT_EQ(notification->word, 0U);
}

TEST_F(Signal, AThreadThatWaitsIsWoken) {
    waiting(*tcb);
    signal(kernel(), *notification, 0x11);
    EXPECT_EQ(tcb->state, State::Ready);
    EXPECT_EQ(tcb->queue, &kernel().ready[tcb->priority]);
    EXPECT_TRUE(is_queue(notification->queue, {}));
}

TEST_F(Signal, ItGetsTheBadge) {
    for (const std::uint64_t badge : {1ULL << 63 | 0x11, 0ULL}) {
        waiting(*tcb);
        signal(kernel(), *notification, badge);
        EXPECT_EQ(tcb->message.badge, badge);
        EXPECT_EQ(tcb->message.length, 0U);
        EXPECT_EQ(tcb->message.label, 0U);
        leave_queue(*tcb);
    }
}

TEST_F(Signal, NothingIsKeptThen) {
    waiting(*tcb);
    signal(kernel(), *notification, 0x11);
    EXPECT_EQ(tcb->state, State::Ready);
    EXPECT_EQ(notification->active, 0U);
    EXPECT_EQ(notification->word, 0U);
}

TEST_F(Signal, OneIsWokenWhoCameFirst) {
    Tcb& second = thread();
    Tcb& third = thread();
    for (Tcb* const one : {tcb, &second, &third}) waiting(*one);
    signal(kernel(), *notification, 0x11);
    EXPECT_EQ(tcb->state, State::Ready);
    EXPECT_TRUE(is_queue(notification->queue, {&second, &third})) << "the others stay";
}

TEST_F(Signal, AsTheLastOneToRun) {
    Tcb& other = thread();
    wake(kernel(), other, Place::Last);
    waiting(*tcb);
    signal(kernel(), *notification, 0x11);
    EXPECT_TRUE(is_queue(ready(), {&other, tcb}));
}

TEST_F(Signal, ItNeverWaits) {
    const Tcb& signals = running_thread(2);
    tcb->priority = 5;
    waiting(*tcb);
    signal(kernel(), *notification, 0x11);
    EXPECT_EQ(tcb->state, State::Ready);
    EXPECT_EQ(kernel().current(), &signals) << "who runs next is not decided here";
    signal(kernel(), *notification, 0x11);
    EXPECT_EQ(signals.state, State::Running);
}

TEST_F(Signal, ABoundThreadIsTakenFromItsEndpoint) {
    Endpoint& endpoint = endpoint_of(make(Type::Endpoint).capability);
    Tcb& other = thread();
    Tcb& next = thread();
    wake(kernel(), other, Place::Last);
    bind();
    receiving(*tcb, endpoint);
    receiving(next, endpoint);
    signal(kernel(), *notification, 0x11);
    EXPECT_EQ(tcb->message.badge, 0x11U);
    EXPECT_EQ(tcb->message.length, 0U);
    EXPECT_TRUE(is_queue(endpoint.queue, {&next}));
    EXPECT_TRUE(is_queue(ready(), {&other, tcb}));
    EXPECT_EQ(notification->active, 0U);
    EXPECT_EQ(notification->word, 0U);
}

TEST_F(Signal, ABoundThreadThatDoesNotReceiveFindsItLater) {
    bind();
    Endpoint& endpoint = endpoint_of(make(Type::Endpoint).capability);
    Notification& other = notification_of(make(Type::Notification).capability);
    const auto finds_it_later = [&](State state, Queue* queue) {
        sleep(kernel(), *tcb, state, queue);
        notification->active = notification->word = 0;
        signal(kernel(), *notification, 0x11);
        EXPECT_EQ(tcb->state, state);
        EXPECT_EQ(tcb->queue, queue);
        EXPECT_EQ(notification->word, 0x11U);
        leave_queue(*tcb);
    };
    finds_it_later(State::Inactive, nullptr);
    finds_it_later(State::Ready, &kernel().ready[tcb->priority]);
    finds_it_later(State::Sending, &endpoint.queue);
    finds_it_later(State::Waiting, &other.queue);
    finds_it_later(State::Calling, nullptr);
    tcb->state = State::Running;
    kernel().current() = tcb;
    notification->active = notification->word = 0;
    signal(kernel(), *notification, 0x11);
    EXPECT_EQ(kernel().current(), tcb);
    EXPECT_EQ(notification->word, 0x11U);
}

TEST_F(Signal, ThoseThatWaitGoBeforeTheBoundThread) {
    Endpoint& endpoint = endpoint_of(make(Type::Endpoint).capability);
    Tcb& waits = thread();
    bind();
    receiving(*tcb, endpoint);
    waiting(waits);
    signal(kernel(), *notification, 0x11);
    EXPECT_EQ(waits.state, State::Ready);
    EXPECT_EQ(tcb->state, State::Receiving);
}

TEST_F(Signal, AnInterruptIsOne) {
    waiting(*tcb);
    kernel().interrupts[5] = {.notification = notification, .badge = 0x20, .has_handler = 1};
    interrupt_arrived(kernel(), 5);
    EXPECT_EQ(tcb->message.badge, 0x20U);
    EXPECT_EQ(machine.masked, 1U << 5);
    EXPECT_EQ(kernel().current(), tcb);
}

}  // namespace
}  // namespace lab
