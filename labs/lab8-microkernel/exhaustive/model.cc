// SPDX-License-Identifier: MIT
#include "model.hh"

namespace lab::exhaustive {
namespace {

constexpr Rights read = 1, write = 2, grant = 4;

bool is_object(Type type) {
    return type == Type::CNode || type == Type::Tcb || type == Type::Endpoint ||
           type == Type::Notification;
}

/// How many units an object of the small Untyped takes.
unsigned units_of(Type type, unsigned bits) {
    if (type == Type::CNode) return 1U << bits;
    return type == Type::Untyped ? 1U << (bits - 6) : 1;
}

}  // namespace

TextWords words_of(Text text, Id thread) {
    const std::uint64_t label = 100ULL + thread;
    switch (text) {
        case Text::Short: return {label, 2, 0};
        case Text::Long: return {label, 6, 0};
        case Text::WithGift: return {label, 6, 2};
        case Text::GoOn: return {0, 6, 0};
        case Text::Fault: break;
    }
    return {label + 100, 1, 0};
}

// Threads.

int Model::highest_ready() const {
    for (int priority = priorities - 1; priority >= 0; --priority)
        if (!state_.ready[static_cast<unsigned>(priority)].is_empty()) return priority;
    return -1;
}

void Model::leave_queues(Id thread) {
    for (Threads& one : state_.endpoint) one.remove(thread);
    for (Threads& one : state_.ready) one.remove(thread);
    state_.waiting.remove(thread);
}

void Model::sleep(Id thread, ThreadState state, Threads* queue) {
    if (state_.running == thread) state_.running = none;
    state_.thread[thread].state = state;
    if (queue != nullptr) queue->push_back(thread);
}

void Model::wake(Id thread, bool is_first) {
    Thread& one = state_.thread[thread];
    one.state = ThreadState::Ready;
    if (is_first)
        state_.ready[one.priority].push_front(thread);
    else
        state_.ready[one.priority].push_back(thread);
}

void Model::schedule() {
    const int highest = highest_ready();
    Id& running = state_.running;
    if (highest < 0 || (running != none && state_.thread[running].priority >= highest)) return;
    if (running != none) wake(running, true);
    running = state_.ready[static_cast<unsigned>(highest)].first();
    leave_queues(running);
    state_.thread[running].state = ThreadState::Running;
}

void Model::suspend(Id thread) {
    Thread& one = state_.thread[thread];
    if (one.state >= ThreadState::Sending) found[thread].status = Status::Cancelled;
    leave_queues(thread);
    if (one.replier != none) drop_caller(one.replier);
    one.faulted = false;
    sleep(thread, ThreadState::Inactive, nullptr);
}

void Model::resume(Id thread) {
    if (state_.thread[thread].state == ThreadState::Inactive) wake(thread, false);
}

void Model::cancel(Id thread) {
    suspend(thread);
    wake(thread, false);
}

void Model::drop_caller(Id thread) {
    Thread& one = state_.thread[thread];
    if (one.caller != none) state_.thread[one.caller].replier = none;
    one.caller = none;
    one.reply_may_grant = false;
}

void Model::give_word(Id thread, std::uint64_t word) {
    found[thread].has_message = true;
    found[thread].badge = word;
}

// Messages.

bool Model::has_buffer(Id thread) const {
    return state_.cap[slot_of_thread(thread, buffer_slot)].type == Type::Frame;
}

void Model::transfer(Id from, Id to, Text text, std::uint8_t badge, bool may_grant) {
    const auto [label, length, capabilities] = words_of(text, from);
    const bool has_buffers = has_buffer(from) && has_buffer(to);
    Found& got = found[to];
    got.has_message = true;
    got.label = label;
    got.length = has_buffers ? length : std::min<std::uint64_t>(length, 4);
    got.badge = badge;
    got.from = from;
    if (!may_grant || !has_buffers) return;
    while (got.capabilities < capabilities &&
           derive(gift_slot, receive_slot(to), 7, 0) == Status::Done)
        ++got.capabilities;
}

void Model::send(Id thread, const Cap& cap, Text text, bool is_blocking, bool is_call) {
    Thread& self = state_.thread[thread];
    Threads& queue = state_.endpoint[cap.object];
    const Id other = queue.first();
    const bool may_grant = (cap.rights & grant) != 0;
    if (other != none && state_.thread[other].state == ThreadState::Receiving) {
        leave_queues(other);
        transfer(thread, other, text, cap.value, may_grant);
        wake(other, true);
        if (!is_call) return;
        sleep(thread, ThreadState::Calling, nullptr);
        self.replier = other;
        state_.thread[other].caller = thread;
        state_.thread[other].reply_may_grant = state_.thread[other].may_grant;
    } else if (is_blocking) {
        self.badge = cap.value;
        self.may_grant = may_grant;
        self.is_call = is_call;
        self.text = text;
        sleep(thread, ThreadState::Sending, &queue);
    }
}

void Model::receive(Id thread, const Cap& cap, bool is_blocking) {
    Thread& self = state_.thread[thread];
    Threads& queue = state_.endpoint[cap.object];
    const bool may_grant = (cap.rights & grant) != 0;
    drop_caller(thread);
    if (self.is_bound && state_.is_active) return wait(thread, false);
    const Id other = queue.first();
    if (other == none || state_.thread[other].state != ThreadState::Sending) {
        if (!is_blocking) return give_word(thread, 0);
        self.may_grant = may_grant;
        return sleep(thread, ThreadState::Receiving, &queue);
    }
    Thread& sender = state_.thread[other];
    leave_queues(other);
    transfer(other, thread, sender.text, sender.badge, sender.may_grant);
    if (!sender.is_call) return wake(other, false);
    sleep(other, ThreadState::Calling, nullptr);
    sender.replier = thread;
    self.caller = other;
    self.reply_may_grant = may_grant;
}

void Model::reply(Id thread, Text text) {
    const Id caller = state_.thread[thread].caller;
    if (caller == none) return;
    const bool may_grant = state_.thread[thread].reply_may_grant;
    drop_caller(thread);
    Thread& one = state_.thread[caller];
    if (!one.faulted) {
        transfer(thread, caller, text, 0, may_grant);
        return wake(caller, true);
    }
    one.faulted = false;
    if (words_of(text, thread).label == 0) return wake(caller, true);
    sleep(caller, ThreadState::Inactive, nullptr);
    found[caller].is_status_open = true;
}

void Model::signal(std::uint8_t badge) {
    Id sleeper = state_.waiting.first();
    for (Id thread = 0; thread < threads && sleeper == none; ++thread) {
        const Thread& one = state_.thread[thread];
        if (one.is_bound && one.state == ThreadState::Receiving) sleeper = thread;
    }
    if (sleeper == none) {
        state_.is_active = true;
        state_.word |= badge;
        return;
    }
    leave_queues(sleeper);
    give_word(sleeper, badge);
    wake(sleeper, false);
}

void Model::wait(Id thread, bool is_blocking) {
    if (!state_.is_active && is_blocking)
        return sleep(thread, ThreadState::Waiting, &state_.waiting);
    give_word(thread, state_.word);
    state_.is_active = false;
    state_.word = 0;
}

// System calls.

bool Model::fires(SystemCall call, const Cap& cap, Text text) const {
    if (text != Text::Short || cap.type != Type::Endpoint) return false;
    const Thread& self = state_.thread[state_.running];
    const Id first = state_.endpoint[cap.object].first();
    const auto waits = [&](ThreadState state) {
        return first != none && state_.thread[first].state == state;
    };
    if (call == SystemCall::Call)
        return (cap.rights & write) != 0 && waits(ThreadState::Receiving) &&
               state_.thread[first].priority >= highest_ready();
    if (call != SystemCall::ReplyRecv || (cap.rights & read) == 0 || self.caller == none)
        return false;
    const Thread& caller = state_.thread[self.caller];
    return !caller.faulted && !waits(ThreadState::Sending) &&
           !(self.is_bound && state_.is_active) && caller.priority >= highest_ready();
}

void Model::system_call(SystemCall call, Id slot, Text text) {
    const Id thread = state_.running;
    const Cap cap = slot == none ? Cap{} : state_.cap[slot];
    if (fires(call, cap, text)) ++(call == SystemCall::Call ? fast_calls : fast_replies);
    Status& status = found[thread].status;
    if (call == SystemCall::Reply || call == SystemCall::ReplyRecv) reply(thread, text);
    if (call == SystemCall::Yield) {
        state_.running = none;
        wake(thread, false);
    } else if (call != SystemCall::Reply) {
        const bool is_call = call == SystemCall::Call;
        const bool is_send = is_call || call == SystemCall::Send || call == SystemCall::NBSend;
        const bool is_signal = cap.type == Type::Notification;
        const Rights wanted = is_send ? write : read;
        const bool has_right = (cap.rights & wanted) != 0;
        if ((cap.type != Type::Endpoint && !is_signal) || (is_call && is_signal && has_right))
            status = Status::InvalidCapability;
        else if (!has_right)
            status = Status::NotAllowed;
        else if (is_send && cap.type == Type::Endpoint)
            send(thread, cap, text, call != SystemCall::NBSend, is_call);
        else if (is_send)
            signal(cap.value);
        else if (cap.type == Type::Endpoint)
            receive(thread, cap, call != SystemCall::NBRecv);
        else
            wait(thread, call != SystemCall::NBRecv);
    }
    schedule();
}

void Model::fault() {
    const Id thread = state_.running;
    const Cap& handler = state_.cap[slot_of_thread(thread, handler_slot)];
    if (handler.type == Type::Endpoint && (handler.rights & write) != 0) {
        Cap without_grant = handler;
        without_grant.rights &= static_cast<Rights>(~grant);
        state_.thread[thread].faulted = true;
        found[thread] = {.has_message = true,
                         .label = words_of(Text::Fault, thread).label,
                         .length = words_of(Text::Fault, thread).length};
        send(thread, without_grant, Text::Fault, true, true);
    } else {
        suspend(thread);
    }
}

void Model::interrupt() {
    if (state_.has_irq) signal(4);
}

// Capabilities.

unsigned Model::place(Id slot) const {
    return static_cast<unsigned>(std::find(state_.tree.begin(), state_.tree.end(), slot) -
                                 state_.tree.begin());
}

unsigned Model::below(Id slot) const {
    const unsigned at = place(slot);
    if (at >= state_.tree.count) return 0;
    unsigned end = at + 1;
    while (end < state_.tree.count && state_.depth[end] > state_.depth[at]) ++end;
    return end - at - 1;
}

unsigned Model::height(Id slot) const {
    const unsigned at = place(slot), end = at + below(slot);
    unsigned deepest = 0;
    for (unsigned i = at; i <= end && i < state_.tree.count; ++i)
        deepest = std::max<unsigned>(deepest, state_.depth[i] - state_.depth[at]);
    return deepest;
}

bool Model::is_below(Id slot, Id ancestor) const {
    const unsigned at = place(slot), from = place(ancestor);
    return at < state_.tree.count && at > from && at <= from + below(ancestor);
}

void Model::put_below(Id parent, Id slot, const Cap& cap) {
    state_.cap[slot] = cap;
    if (parent == none) {
        state_.depth[state_.tree.count] = 0;
        return state_.tree.push_back(slot);
    }
    // The first child is the next one of the list.
    const unsigned at = place(parent) + 1;
    auto* const tree = state_.tree.at.data();
    auto* const depth = state_.depth.data();
    std::copy_backward(tree + at, tree + state_.tree.count, tree + state_.tree.count + 1);
    std::copy_backward(depth + at, depth + state_.tree.count, depth + state_.tree.count + 1);
    tree[at] = slot;
    depth[at] = static_cast<std::uint8_t>(depth[at - 1] + 1);
    ++state_.tree.count;
}

Status Model::derive(Id source, Id destination, Rights rights, std::uint8_t badge) {
    Cap cap = state_.cap[source];
    if (cap.type == Type::Null) return Status::SlotEmpty;
    if (state_.cap[destination].type != Type::Null) return Status::SlotOccupied;
    if (cap.type == Type::Untyped && below(source) != 0) return Status::HasChildren;
    if (badge != 0) {
        const bool may = cap.type == Type::Endpoint || cap.type == Type::Notification;
        if (!may || cap.value != 0) return Status::InvalidArgument;
        cap.value = badge;
    }
    cap.rights &= rights;
    if (cap.type == Type::Untyped) {
        state_.cap[source].value = static_cast<std::uint8_t>(units_of(cap.type, cap.bits));
        cap.value = 0;
    }
    if (cap.type == Type::Frame) cap.value = 0;
    put_below(source, destination, cap);
    return Status::Done;
}

Status Model::retype(Id untyped, Type type, std::uint8_t bits, const List<2>& destination) {
    Cap& memory = state_.cap[untyped];
    if (memory.type != Type::Untyped) return Status::InvalidCapability;
    for (const Id slot : destination)
        if (state_.cap[slot].type != Type::Null) return Status::SlotOccupied;
    const unsigned size = units_of(type, bits), all = units_of(Type::Untyped, memory.bits);
    if (below(untyped) == 0) memory.value = 0;
    const unsigned start = (memory.value + size - 1) / size * size;
    if (start + size * destination.count > all) return Status::NotEnoughMemory;
    memory.value = static_cast<std::uint8_t>(start + size * destination.count);
    unsigned unit = memory.object + start;
    for (const Id slot : destination) {
        put_below(untyped, slot,
                  {.type = type, .rights = 7, .bits = bits, .object = static_cast<Id>(unit)});
        unit += size;
    }
    return Status::Done;
}

void Model::end(const Cap& cap) {
    if (!is_object(cap.type)) return;
    for (const Id slot : state_.tree)
        if (state_.cap[slot].type == cap.type && state_.cap[slot].object == cap.object) return;
    if (cap.type == Type::Endpoint && cap.object < endpoints) {
        while (!state_.endpoint[cap.object].is_empty()) cancel(state_.endpoint[cap.object].first());
    } else if (cap.type == Type::Notification && cap.object == 0) {
        while (!state_.waiting.is_empty()) cancel(state_.waiting.first());
        for (Thread& one : state_.thread) one.is_bound = false;
        state_.has_irq = false;
    } else if (cap.type == Type::Tcb) {
        suspend(cap.object);
        drop_caller(cap.object);
        state_.thread[cap.object].is_bound = false;
        state_.dead.push_front(cap.object);
    } else if (cap.type == Type::CNode) {
        state_.dead.push_front(cap.object);
    }
}

void Model::remove(Id slot) {
    const Cap cap = state_.cap[slot];
    const unsigned at = place(slot), children = below(slot);
    for (unsigned i = at + 1; i <= at + children; ++i) --state_.depth[i];
    std::copy(state_.depth.begin() + at + 1, state_.depth.begin() + state_.tree.count,
              state_.depth.begin() + at);
    state_.tree.remove(slot);
    state_.cap[slot] = {};
    end(cap);
    // Who is dead and has no slot that is full is nobody's business any more.
    while (!state_.dead.is_empty() && next_dead_slot() == none)
        state_.dead.remove(state_.dead.first());
}

/// Of the first of the dead: the first slot that is full.
Id Model::next_dead_slot() const {
    const Id one = state_.dead.first();
    if (one == none) return none;
    if (one >= threads) {  // a CNode of two indices
        const Id slot = static_cast<Id>(first_unit_slot + one - first_unit + 1);
        return state_.cap[slot].type != Type::Null ? slot : none;
    }
    for (Id which = 0; which < thread_slots; ++which)
        if (state_.cap[slot_of_thread(one, which)].type != Type::Null)
            return slot_of_thread(one, which);
    return none;
}

bool Model::may_remove(Id slot, bool is_delete, Id victim) const {
    if (is_delete && state_.cap[slot].type != Type::Null) return victim == slot;
    if (!is_delete && below(slot) != 0) return is_below(victim, slot);
    return victim != none && victim == next_dead_slot();
}

bool Model::is_done(Id slot, bool is_delete) const {
    const bool has_own = is_delete ? state_.cap[slot].type != Type::Null : below(slot) != 0;
    return !has_own && next_dead_slot() == none;
}

}  // namespace lab::exhaustive
