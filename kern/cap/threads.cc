// SPDX-License-Identifier: MIT
#include "kern/cap/threads.hh"

#include "kern/lib/panic.hh"

namespace kern::cap {

void push_back(Queue& queue, Tcb& tcb) {
    check(tcb.queue == nullptr, "a thread stands in a queue, and is put into another");
    tcb.queue = &queue;
    tcb.next = nullptr;
    tcb.previous = queue.last;
    (queue.last != nullptr ? queue.last->next : queue.first) = &tcb;
    queue.last = &tcb;
}

void push_front(Queue& queue, Tcb& tcb) {
    check(tcb.queue == nullptr, "a thread stands in a queue, and is put into another");
    tcb.queue = &queue;
    tcb.previous = nullptr;
    tcb.next = queue.first;
    (queue.first != nullptr ? queue.first->previous : queue.last) = &tcb;
    queue.first = &tcb;
}

void leave_queue(Tcb& tcb) {
    if (tcb.queue == nullptr) return;
    (tcb.previous != nullptr ? tcb.previous->next : tcb.queue->first) = tcb.next;
    (tcb.next != nullptr ? tcb.next->previous : tcb.queue->last) = tcb.previous;
    tcb.queue = nullptr;
    tcb.next = tcb.previous = nullptr;
}

namespace {

void leave_cpu(Kernel& kernel, Tcb& tcb) {
    if (tcb.state != Tcb::State::Running) return;
    if (tcb.cpu != kernel.cpu) kernel.machine->stop(tcb.cpu);
    kernel.running[tcb.cpu] = nullptr;
}

}  // namespace

void sleep(Kernel& kernel, Tcb& tcb, Tcb::State state, Queue* queue) {
    leave_cpu(kernel, tcb);
    tcb.state = state;
    if (queue != nullptr) push_back(*queue, tcb);
}

void wake(Kernel& kernel, Tcb& tcb, Place place) {
    tcb.state = Tcb::State::Ready;
    Queue& queue = kernel.ready[tcb.priority];
    if (place == Place::First)
        push_front(queue, tcb);
    else
        push_back(queue, tcb);
}

namespace {

void stop_waiting(Tcb& tcb) {
    leave_queue(tcb);
    if (tcb.replier != nullptr) tcb.replier->caller = nullptr;
    tcb.replier = nullptr;
    tcb.faulted = false;
}

}  // namespace

void cancel(Kernel& kernel, Tcb& tcb, Status status) {
    if (tcb.state < Tcb::State::Sending) return;
    stop_waiting(tcb);
    tcb.status = status;
    wake(kernel, tcb, Place::Last);
}

void suspend(Kernel& kernel, Tcb& tcb) {
    if (tcb.state >= Tcb::State::Sending) tcb.status = Status::Cancelled;
    stop_waiting(tcb);
    sleep(kernel, tcb, Tcb::State::Inactive, nullptr);
}

int highest_ready(const Kernel& kernel) {
    // Each entry to the kernel looks three times, mostly in vain.
#pragma GCC unroll 8
    for (int priority = priorities - 1; priority >= 0; --priority)
        if (kernel.ready[static_cast<unsigned>(priority)].first != nullptr) return priority;
    return -1;
}

void schedule(Kernel& kernel) {
    const int highest = highest_ready(kernel);
    Tcb*& current = kernel.current();
    if (highest < 0 || (current != nullptr && current->priority >= highest)) return;
    if (current != nullptr) wake(kernel, *current, Place::First);
    current = kernel.ready[static_cast<unsigned>(highest)].first;
    leave_queue(*current);
    current->state = Tcb::State::Running;
    current->cpu = static_cast<std::uint8_t>(kernel.cpu);
}

void yield(Kernel& kernel) {
    Tcb*& current = kernel.current();
    if (current != nullptr) wake(kernel, *current, Place::Last);
    current = nullptr;
    schedule(kernel);
}

void give_word(Tcb& tcb, std::uint64_t word) {
    tcb.message.label = tcb.message.length = tcb.message.capabilities = 0;
    tcb.message.badge = word;
}

void put_caller(Tcb& callee, Tcb& caller, bool may_grant) {
    check(callee.caller == nullptr, "put_caller: the caller's slot is not empty");
    callee.caller = &caller;
    callee.reply_may_grant = may_grant;
    caller.replier = &callee;
}

void drop_caller(Tcb& callee) {
    if (callee.caller != nullptr) callee.caller->replier = nullptr;
    callee.caller = nullptr;
    callee.reply_may_grant = false;
}

}  // namespace kern::cap
