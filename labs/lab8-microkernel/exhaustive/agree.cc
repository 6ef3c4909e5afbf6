// SPDX-License-Identifier: MIT
// Whether the arena is what the model has, and in which words it is not.
#include <algorithm>

#include "arena.hh"

namespace lab::exhaustive {

using kern::cap::Capability;
using kern::cap::Message;
using kern::cap::Slot;
using kern::cap::Tcb;

namespace {

const char* name_of_state(ThreadState state) {
    static constexpr const char* names[] = {"Inactive",  "Ready",   "Running", "Sending",
                                            "Receiving", "Waiting", "Calling"};
    const auto number = static_cast<std::size_t>(state);
    return number < std::size(names) ? names[number] : "no state that there is";
}

const char* name_of_status(Status status) {
    static constexpr const char* names[] = {
        "Done",      "Preempted",    "InvalidCapability", "InvalidArgument", "NotAllowed",
        "SlotEmpty", "SlotOccupied", "NotEnoughMemory",   "HasChildren",     "Cancelled"};
    const auto number = static_cast<std::size_t>(status);
    return number < std::size(names) ? names[number] : "no status that there is";
}

std::string names_of(const Threads& queue) {
    std::string names;
    for (const Id thread : queue) names += (names.empty() ? "" : ", ") + name_of_thread(thread);
    return names.empty() ? "nobody" : names;
}

std::string in_words(const Message& message) {
    std::string words = "label " + std::to_string(message.label) + ", length " +
                        std::to_string(message.length) + ", capabilities " +
                        std::to_string(message.capabilities) + ", badge " +
                        std::to_string(message.badge) + ", words";
    for (const std::uint64_t word : message.words) words += " " + std::to_string(word);
    return words;
}

}  // namespace

bool World::differ(const std::string& what, const std::string& model, const std::string& yours) {
    differences_.append("  ").append(what).append(": ").append(model);
    differences_.append(" by the contracts, ").append(yours).append(" in your kernel\n");
    return false;
}

bool World::result_agrees(Status wanted, Status result) {
    return wanted == result || differ("the result", name_of_status(wanted), name_of_status(result));
}

bool World::agrees(const Model& model) {
    const bool slots_do = slots_agree();
    const bool threads_do = threads_agree(model);
    return queues_agree() && slots_do && threads_do;
}

bool World::slots_agree() {
    // From the list: who stands beside whom. By slot.
    std::array<Id, slots> before, after, first, last, open;
    first.fill(none);
    last.fill(none);
    for (unsigned i = 0; i < state_.tree.count; ++i) {
        const Id id = state_.tree.at[i];
        const unsigned depth = state_.depth[i];
        const Id parent = depth == 0 ? none : open[depth - 1];
        open[depth] = id;
        before[id] = after[id] = parent;
        if (parent == none) continue;
        if (last[parent] == none) {
            first[parent] = id;
        } else {
            before[id] = last[parent];
            after[last[parent]] = id;
        }
        last[parent] = id;
    }
    bool agree = true, has_unit[units] = {};
    const auto at = [&](Id id) { return id == none ? nullptr : &slot(id); };
    for (const Id id : state_.tree) {
        const Slot& real_slot = slot(id);
        const Cap& cap = state_.cap[id];
        if (cap.type == Type::CNode && cap.object >= first_unit)
            has_unit[cap.object - first_unit + 1] = true;
        Capability wanted = real(cap, id >= first_thread_slot);
        const Capability& is = real_slot.capability;
        if (wanted.type == Type::Untyped) {
            wanted.where = is.where;
            // Whether a reset is written down is left open.
            if (first[id] == none && is.value == 0) wanted.value = 0;
        }
        if (wanted != is) {
            const std::string name = name_of_slot(id);
            if (is.type != wanted.type)
                agree = differ(name, name_of(cap),
                               is.type == Type::Null ? "nothing" : "another object");
            else if (is.rights != wanted.rights)
                agree = differ("the rights in " + name, std::to_string(wanted.rights),
                               std::to_string(is.rights));
            else if (is.value != wanted.value)
                agree = differ(
                    (is.type == Type::Untyped ? "the watermark in " : "the badge in ") + name,
                    std::to_string(wanted.value), std::to_string(is.value));
            else
                agree = differ(name, name_of(cap), "another object, or another size or guard");
        } else if (real_slot.before != at(before[id]) || real_slot.after != at(after[id]) ||
                   real_slot.first_child != at(first[id]) || real_slot.last_child != at(last[id])) {
            const unsigned place = static_cast<unsigned>(
                std::find(state_.tree.begin(), state_.tree.end(), id) - state_.tree.begin());
            Id parent = none;
            for (unsigned i = place; i-- > 0 && parent == none;)
                if (state_.depth[i] < state_.depth[place]) parent = state_.tree.at[i];
            const Slot* const is_parent = kern::cap::parent_of(real_slot);
            std::string yours = "elsewhere in the tree, or its links are broken";
            for (const Id one : state_.tree)
                if (&slot(one) == is_parent) yours = "below " + name_of_slot(one);
            if (parent != none && is_parent == &slot(parent))
                yours = "there too, but not beside its neighbours, or its links are broken";
            agree =
                differ(name_of_slot(id),
                       parent == none ? "below nothing" : "below " + name_of_slot(parent), yours);
        }
    }
    std::array<const Slot*, Memory::entries> mapped{};
    for (const Id id : state_.tree)
        if (state_.cap[id].type == Type::Frame && state_.cap[id].value != 0)
            mapped[state_.cap[id].value - 1U] = &slot(id);
    for (unsigned i = 0; i < Memory::entries; ++i)
        if (memory_->page_table.mapped[i] != mapped[i])
            agree = differ("entry " + std::to_string(i) + " of the page table",
                           mapped[i] != nullptr ? "a frame" : "nothing",
                           memory_->page_table.mapped[i] != nullptr ? "a frame" : "nothing");
    for (Id id = 0; id < slots; ++id) {
        if (state_.cap[id].type != Type::Null || slot(id).is_empty()) continue;
        if (id >= first_unit_slot && !has_unit[id - first_unit_slot]) continue;  // no slot
        agree = differ(name_of_slot(id), "empty", "full");
    }
    return agree;
}

bool World::threads_agree(const Model& model) {
    bool agree = true;
    const auto at = [&](Id id) { return id == none ? nullptr : &tcb(id); };
    const auto name_at = [&](const Tcb* one) -> std::string {
        for (Id id = 0; id < threads; ++id)
            if (one == &tcb(id)) return name_of_thread(id);
        return one == nullptr ? "nobody" : "no thread";
    };
    const auto name_id = [](Id id) -> std::string {
        return id == none ? "nobody" : name_of_thread(id);
    };
    const auto yes = [](bool is) -> std::string { return is ? "true" : "false"; };
    for (Id id = 0; id < threads; ++id) {
        const Thread& one = state_.thread[id];
        const Tcb& real = tcb(id);
        const std::string name = name_of_thread(id);
        if (real.state != one.state)
            agree = differ(name + " is", name_of_state(one.state), name_of_state(real.state));
        if (real.caller != at(one.caller))
            agree = differ(name + "'s caller", name_id(one.caller), name_at(real.caller));
        if (real.replier != at(one.replier))
            agree = differ(name + "'s replier", name_id(one.replier), name_at(real.replier));
        if (one.caller != none && real.reply_may_grant != one.reply_may_grant)
            agree = differ(name + "'s reply_may_grant", yes(one.reply_may_grant),
                           yes(real.reply_may_grant));
        if (real.faulted != one.faulted)
            agree = differ(name + "'s faulted", yes(one.faulted), yes(real.faulted));
        if ((real.bound != nullptr) != one.is_bound)
            agree = differ(name + " has a bound notification", yes(one.is_bound),
                           yes(real.bound != nullptr));
        const bool is_sending = one.state == ThreadState::Sending;
        if (is_sending && real.badge != one.badge)
            agree = differ("the badge by which " + name + " sends", std::to_string(one.badge),
                           std::to_string(real.badge));
        if (is_sending && real.is_call != one.is_call)
            agree = differ(name + "'s is_call", yes(one.is_call), yes(real.is_call));
        if ((is_sending || one.state == ThreadState::Receiving) && real.may_grant != one.may_grant)
            agree = differ(name + "'s may_grant", yes(one.may_grant), yes(real.may_grant));

        const Found& found = model.found[id];
        if (!found.is_status_open && real.status != found.status)
            agree = differ(name + "'s status", name_of_status(found.status),
                           name_of_status(real.status));
        Message wanted = before_[id];
        const kern::cap::IpcBuffer& buffer = memory_->frame[id].buffer;
        Id in_buffer = id;
        if (found.has_message) {
            wanted.label = found.label;
            wanted.length = found.length;
            wanted.capabilities = found.capabilities;
            wanted.badge = found.badge;
            for (unsigned i = 0; i < 4 && found.from != none && i < found.length; ++i)
                wanted.words[i] = before_[found.from].words[i];
            if (found.from != none && found.length == 6) in_buffer = found.from;
        }
        if (!(real.message == wanted))
            agree = differ(name + "'s message", in_words(wanted), in_words(real.message));
        for (unsigned i = 4; i < 6; ++i)
            if (buffer.words[i] != 1000 * (in_buffer + 1ULL) + i)
                agree = differ("word " + std::to_string(i) + " in " + name + "'s buffer",
                               std::to_string(1000 * (in_buffer + 1ULL) + i),
                               std::to_string(buffer.words[i]));
    }
    const kern::cap::Kernel& kernel = memory_->kernel;
    if (kernel.running[0] != at(state_.running))
        agree = differ("who has the CPU", name_id(state_.running), name_at(kernel.running[0]));
    if (counts_firing_ &&
        (kernel.fast_calls != model.fast_calls || kernel.fast_replies != model.fast_replies))
        agree = differ("ipc_fastpath fires", yes(model.fast_calls + model.fast_replies != 0),
                       yes(kernel.fast_calls + kernel.fast_replies != 0));
    const kern::cap::Notification& notification = memory_->notification;
    if ((notification.active != 0) != state_.is_active)
        agree = differ("the notification is active", yes(state_.is_active),
                       yes(notification.active != 0));
    if (notification.word != state_.word)
        agree = differ("the notification's word", std::to_string(state_.word),
                       std::to_string(notification.word));
    return agree;
}

bool World::queue_agrees(const kern::cap::Queue& queue, const Threads& wanted,
                         const std::string& name) {
    Threads is;
    bool agree = true;
    const Tcb* previous = nullptr;
    for (const Tcb* one = queue.first; one != nullptr; previous = one, one = one->next) {
        Id id = 0;
        while (id < threads && one != &tcb(id)) ++id;
        if (id == threads || is.count == threads) {
            differences_ += "  " + name + " has no end, or somebody in it is no thread\n";
            return false;
        }
        is.push_back(id);
        agree = agree && one->queue == &queue && one->previous == previous;
    }
    if (!std::ranges::equal(is, wanted)) return differ(name, names_of(wanted), names_of(is));
    if (!agree || queue.last != previous)
        differences_ += "  the links of " + name + " are broken\n";
    return agree && queue.last == previous;
}

bool World::queues_agree() {
    bool agree = true;
    const auto look = [&](const kern::cap::Queue& queue, const Threads& wanted, auto&& name) {
        // The names are made only where they are told.
        if (wanted.is_empty() && queue.first == nullptr && queue.last == nullptr) return;
        if (!queue_agrees(queue, wanted, name())) agree = false;
    };
    for (unsigned i = 0; i < endpoints; ++i)
        look(memory_->endpoint[i].queue, state_.endpoint[i],
             [&] { return "the queue of endpoint " + std::to_string(i + 1); });
    look(memory_->notification.queue, state_.waiting,
         [] { return std::string{"the notification's queue"}; });
    for (unsigned i = 0; i < kern::cap::priorities; ++i)
        look(memory_->kernel.ready[i], i < priorities ? state_.ready[i] : Threads{},
             [&] { return "the Ready ones of priority " + std::to_string(i); });
    for (Id id = 0; id < threads; ++id) {
        const ThreadState state = state_.thread[id].state;
        const bool stands = state != ThreadState::Inactive && state != ThreadState::Running &&
                            state != ThreadState::Calling;
        if ((tcb(id).queue != nullptr) != stands)
            agree = differ(name_of_thread(id), stands ? "in a queue" : "in no queue",
                           stands ? "in none" : "in one");
    }
    return agree;
}

}  // namespace lab::exhaustive
