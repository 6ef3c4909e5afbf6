// SPDX-License-Identifier: MIT
// What lab 8 is given: system calls and what they come to, the tree, threads.
#include "kern/tests/support/microkernel.hh"
#include "kern/cap/calls.hh"

namespace kern::test {
namespace {

class Microkernel : public MicroTest {
   protected:
    static constexpr std::uint64_t address = 3;
    void SetUp() override {
        MicroTest::SetUp();
        slot = &make(Type::Endpoint);
        client = &thread();
        server = &thread();
        copy(*slot, slot_of(*client, address), all_rights, 9);
        copy(*slot, slot_of(*server, address));
    }
    void run(Tcb& tcb) {
        kernel().current() = &tcb;
        tcb.state = State::Running;
    }
    Slot* slot = nullptr;
    Tcb* client = nullptr;
    Tcb* server = nullptr;
};

TEST_F(Microkernel, ACallAndItsReplyPassBothPaths) {
    for (const std::uint64_t length : {2U, 5U}) {  // five words are too many for the fast path
        run(*server);
        EXPECT_EQ(system_call(kernel(), SystemCall::Recv, address), Status::Done);
        EXPECT_EQ(kernel().current(), nullptr);
        run(*client);
        client->message = {.label = 77, .length = length};
        system_call(kernel(), SystemCall::Call, address);
        EXPECT_EQ(kernel().current(), server);
        EXPECT_EQ(server->message.label, 77U);
        EXPECT_EQ(server->message.badge, 9U);
        server->message = {.label = 78, .length = length};
        system_call(kernel(), SystemCall::ReplyRecv, address);
        EXPECT_EQ(kernel().current(), client);
        EXPECT_EQ(client->message.label, 78U);
        EXPECT_EQ(client->status, Status::Done);
        EXPECT_EQ(kernel().fast_calls, 1U);
        EXPECT_EQ(kernel().fast_replies, 1U);
        suspend(kernel(), *server);
    }
}

TEST_F(Microkernel, WhatACapabilityDoesNotAllow) {
    run(*client);
    slot_of(*client, address).capability.rights = grant_right;
    for (const SystemCall call : {SystemCall::Send, SystemCall::NBSend, SystemCall::Call,
                                  SystemCall::Recv, SystemCall::NBRecv, SystemCall::ReplyRecv}) {
        system_call(kernel(), call, address);
        EXPECT_EQ(client->status, Status::NotAllowed);
        system_call(kernel(), call, address + 1);
        EXPECT_EQ(client->status, Status::InvalidCapability);
    }
    EXPECT_EQ(client->state, State::Running);
}

TEST_F(Microkernel, AFaultIsAMessageToTheHandler) {
    copy(*slot, client->fault_handler, all_rights, 5);
    run(*server);
    system_call(kernel(), SystemCall::Recv, address);
    run(*client);
    fault(kernel(), {.label = 14, .length = 1, .words = {0x4000}});
    EXPECT_EQ(kernel().current(), server);
    EXPECT_EQ(server->message.badge, 5U);
    EXPECT_EQ(server->message.words[0], 0x4000U);
    EXPECT_EQ(client->state, State::Calling);
    server->message = {};
    system_call(kernel(), SystemCall::ReplyRecv, address);
    EXPECT_EQ(kernel().current(), client);
}

TEST_F(Microkernel, AFaultWithoutAHandlerIsTheEndOfIt) {
    run(*client);
    fault(kernel(), {.label = 14});
    EXPECT_EQ(client->state, State::Inactive);
    EXPECT_EQ(kernel().current(), nullptr);
}

TEST_F(Microkernel, ThePriorityDecidesAndThenTheOrder) {
    Tcb& high = thread(5);
    run(*client);
    wake(kernel(), *server, Place::Last);
    schedule(kernel());
    EXPECT_EQ(kernel().current(), client) << "one of its own priority does not take the CPU";
    wake(kernel(), high, Place::Last);
    schedule(kernel());
    EXPECT_EQ(kernel().current(), &high);
    EXPECT_TRUE(is_queue(ready(), {client, server}));
    suspend(kernel(), high);
    schedule(kernel());
    EXPECT_EQ(kernel().current(), client);
    system_call(kernel(), SystemCall::Yield, 0);
    EXPECT_EQ(kernel().current(), server);
    EXPECT_TRUE(is_queue(ready(), {client}));
}

TEST_F(Microkernel, AThreadOnAnotherCpuIsStopped) {
    run(*client);
    kernel().cpu = 1;
    suspend(kernel(), *client);
    EXPECT_EQ(machine.stops, 1U);
    EXPECT_EQ(kernel().running[0], nullptr);
}

TEST_F(Microkernel, AServerThatEndsLeavesItsClientWaiting) {
    sleep(kernel(), *client, State::Calling, nullptr);
    put_caller(*server, *client, true);
    end_object(kernel(), {.type = Type::Tcb, .object = reinterpret_cast<std::uint64_t>(server)});
    EXPECT_EQ(client->state, State::Calling);
    EXPECT_EQ(client->replier, nullptr);
    cancel(kernel(), *client, Status::Cancelled);
    EXPECT_EQ(client->state, State::Ready);
}

TEST_F(Microkernel, NeighboursTellTheLastCapability) {
    make(Type::Endpoint);
    Slot& first = make(Type::Endpoint);
    make(Type::Endpoint);
    Slot& left = copy(first);
    Slot& right = copy(first);
    Slot& below = copy(right);
    for (Slot* const gone : {&first, &below, &left}) {
        EXPECT_FALSE(is_last(first) || is_last(left) || is_last(right) || is_last(below));
        take_out(*gone);
    }
    EXPECT_TRUE(is_last(right));
    EXPECT_FALSE(is_last(untyped())) << "memory is no object";
}

TEST_F(Microkernel, TheTreeStaysWellFormed) {
    std::array<Slot*, 24> slots{};
    for (Slot*& one : slots) one = &empty_slot();
    Slot& root = make(Type::Notification);
    Random numbers;
    unsigned wanted = 0, rest = 0;
    is_well_formed(untyped(), rest);
    for (int i = 0; i < 20'000; ++i) {
        Slot& one = *slots[numbers.next() % slots.size()];
        Slot& other = *slots[numbers.next() % slots.size()];
        if (one.is_empty()) {
            put_below(other.is_empty() ? root : other, one, root.capability);
            ++wanted;
        } else if (other.is_empty()) {
            move(one, other);
        } else {
            take_out(one);
            --wanted;
        }
        unsigned count = 0;
        ASSERT_TRUE(is_well_formed(untyped(), count));
        ASSERT_EQ(count, rest + wanted);
        ASSERT_EQ(is_last(root), wanted == 0);
    }
}

}  // namespace
}  // namespace kern::test
