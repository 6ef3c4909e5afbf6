// SPDX-License-Identifier: MIT
#include "world.hh"

#include <cstring>

#include "arena.hh"

namespace lab::exhaustive {

using kern::cap::Capability;
using kern::cap::Message;
using kern::cap::Slot;
using kern::cap::Tcb;

/// Hardware that asks the world at each look of cap_revoke.
class World::Looks final : public kern::cap::Machine {
   public:
    World* world = nullptr;
    Model* model = nullptr;  ///< nullptr: nobody revokes
    const Operation* operation = nullptr;
    bool was_told = false;       ///< that it should stop
    std::uintptr_t deepest = 0;  ///< bytes of the stack in use, at most, where it looked

    bool preemption_pending() override {
        if (model != nullptr) follow(true);
        const auto here = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
        deepest = std::max(deepest, begin_ - here);
        was_told = operation != nullptr && operation->is_preempted;
        return was_told || !world->differences_.empty();
    }
    /// What was deleted since the last look, which is one capability at most.
    void follow(bool at_look) {
        if (!world->differences_.empty()) return;
        const bool is_delete = operation->kind == Operation::Kind::Delete;
        Id victim = none;
        for (const Id one : world->state_.tree)
            if (world->slot(one).is_empty()) {
                if (victim != none)
                    return say(
                        "between two looks at preemption_pending two capabilities are gone: " +
                        name_of_slot(victim) + " and " + name_of_slot(one));
                victim = one;
            }
        if (victim == none) {
            if (at_look && !has_deleted_ && !model->is_done(operation->slot, is_delete))
                say("it looks at preemption_pending, and has deleted nothing yet");
            return;
        }
        if (was_told)
            return say("it was told to stop, and has deleted " + name_of_slot(victim) +
                       " afterwards");
        if (!model->may_remove(operation->slot, is_delete, victim))
            return say("it has deleted " + name_of_slot(victim) + " (" +
                       name_of(world->state_.cap[victim]) + "), which it may not, or not yet");
        has_deleted_ = true;
        model->remove(victim);
        world->agrees(*model);
    }
    void begin(Model* one, const Operation* what) {
        model = one;
        operation = what;
        was_told = has_deleted_ = false;
        deepest = 0;
        begin_ = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
    }

    void clear(std::uint64_t address, std::uint64_t bytes) override {
        const std::uint64_t small = reinterpret_cast<std::uint64_t>(world->memory_->small.data());
        if (address < small || bytes > world->memory_->small.size() ||
            address - small > world->memory_->small.size() - bytes)
            return say("it clears memory that is not the Untyped's");
        std::memset(reinterpret_cast<void*>(address), 0, bytes);
    }
    void begin_space(kern::cap::PageTable&) override {}
    void clear_entry(kern::cap::PageTable&, unsigned) override {}
    void end_table(kern::cap::PageTable&) override {}
    void stop(unsigned) override {}
    void mask(unsigned) override {}
    void unmask(unsigned) override {}

   private:
    std::uintptr_t begin_ = 0;
    bool has_deleted_ = false;
    void say(const std::string& what) { world->differences_ += "  " + what + "\n"; }
};

World::World() : memory_{std::make_unique<Memory>()}, looks_{std::make_unique<Looks>()} {
    looks_->world = this;
}
World::~World() = default;

Slot& World::slot(Id id) const {
    return memory_->slot(id);
}
Tcb& World::tcb(Id id) const {
    return memory_->tcb[id].tcb;
}

std::uint64_t World::address(const Cap& cap) const {
    const void* at = memory_.get();
    if (cap.object >= first_unit && cap.object < first_unit + units)
        at = memory_->small.data() + std::size_t{64} * (cap.object - first_unit);
    else if (cap.type == Type::CNode)
        at = memory_->table.data();
    else if (cap.type == Type::Tcb)
        at = &tcb(cap.object);
    else if (cap.type == Type::Endpoint)
        at = &memory_->endpoint[cap.object];
    else if (cap.type == Type::Notification)
        at = &memory_->notification;
    else if (cap.type == Type::Frame)
        at = &memory_->frame[cap.object];
    return reinterpret_cast<std::uint64_t>(at);
}

Capability World::real(const Cap& cap, bool is_guarded) const {
    Capability one{.type = cap.type, .rights = cap.rights, .object = address(cap)};
    if (cap.type == Type::Untyped || cap.type == Type::CNode) one.size_bits = cap.bits;
    if (cap.type == Type::CNode && cap.object < first_unit && is_guarded) one.guard_bits = 60;
    if (cap.type == Type::Frame && cap.value != 0) {
        one.where = reinterpret_cast<std::uint64_t>(&memory_->page_table);
        one.value = cap.value - 1U;
        return one;
    }
    one.value = cap.type == Type::Untyped ? std::uint64_t{64} * cap.value : cap.value;
    return one;
}

void World::put(Id parent, Id id, const Cap& cap) {
    Model{state_}.put_below(parent, id, cap);
    const Capability capability = real(cap, id >= first_thread_slot);
    if (parent == none)
        slot(id).capability = capability;
    else
        kern::cap::put_below(slot(parent), slot(id), capability);
    if (cap.type == Type::Frame) memory_->page_table.mapped[capability.value] = &slot(id);
}

void World::begin(const Scene& scene) {
    counts_firing_ = scene.counts_firing;
    *memory_ = {};
    state_ = {};
    kern::cap::Kernel& kernel = memory_->kernel;
    kernel.machine = looks_.get();
    new (memory_->table.data()) kern::cap::CNode{{.count = 15}};
    put(none, memory_slot, {Type::Untyped, 7, Memory::bits, none, units});
    put(memory_slot, table_cap_slot, {Type::CNode, 7, 4, 0, 0});
    put(memory_slot, first_table_slot, {Type::Endpoint, 7, 0, 0, 0});
    put(memory_slot, first_table_slot + 1, {Type::Endpoint, 7, 0, 1, 0});
    put(memory_slot, first_table_slot + 2, {Type::Notification, 7, 0, 0, 0});
    Id next = first_table_slot + 3;
    for (Id thread = 0; thread < threads; ++thread) {
        Tcb& one = tcb(thread);
        one.head.count = thread_slots;
        one.priority = state_.thread[thread].priority = scene.priority[thread];
        put(table_cap_slot, slot_of_thread(thread, cnode_slot), {Type::CNode, 7, 4, 0, 0});
        if (thread < scene.buffers)
            put(memory_slot, slot_of_thread(thread, buffer_slot),
                {Type::Frame, 7, 0, thread, static_cast<std::uint8_t>(thread + 1)});
        if (scene.has_handlers)
            put(first_table_slot + 1, slot_of_thread(thread, handler_slot),
                {Type::Endpoint, 7, 0, 1, static_cast<std::uint8_t>(8U << thread)});
        if (scene.has_threads) put(memory_slot, next++, {Type::Tcb, 7, 0, thread, 0});
        kern::cap::wake(kernel, one, kern::cap::Place::Last);
        state_.thread[thread].state = ThreadState::Ready;
        state_.ready[scene.priority[thread]].push_back(thread);
    }
    if (scene.has_memory) put(memory_slot, next++, {Type::Untyped, 7, 9, first_unit, 0});
    if (scene.has_frames) {
        put(memory_slot, next, {Type::Frame, 7, 0, threads, threads + 1});
        put(next, static_cast<Id>(next + 1), {Type::Frame, 7, 0, threads, threads + 2});
        next += 2;
    }
    for (const Scene::Copy& copy : scene.copies) {
        const Id from = static_cast<Id>(first_table_slot + copy.from - 1);
        Cap cap = state_.cap[from];
        cap.rights &= copy.rights;
        if (copy.badge != 0) cap.value = copy.badge;
        put(from, next++, cap);
    }
    kernel.interrupts[1] = {.notification = &memory_->notification, .badge = 4, .has_handler = 1};
    state_.has_irq = true;
    if (scene.is_bound) {
        tcb(0).bound = &memory_->notification;
        memory_->notification.bound = &tcb(0);
        state_.thread[0].is_bound = true;
    }
    Model{state_}.schedule();
    kern::cap::schedule(kernel);
}

void World::save(Image& image) const {
    image.state = state_;
    image.bytes.resize(Memory::image_bytes);
    std::byte* to = image.bytes.data();
    for (const auto& [from, bytes] : memory_->parts()) to = std::copy_n(from, bytes, to);
}

void World::put_back(const Image& image) {
    state_ = image.state;
    differences_.clear();
    const std::byte* from = image.bytes.data();
    for (const auto& [to, bytes] : memory_->parts()) {
        std::memcpy(to, from, bytes);
        from += bytes;
    }
}

/// Puts into all threads what they are about to send, and into all that means nothing a value that
/// would be seen.
void World::prepare(const Operation& operation) {
    const bool is_call = operation.kind == Operation::Kind::Call;
    for (Id thread = 0; thread < threads; ++thread) {
        const Thread& one = state_.thread[thread];
        const bool is_sending = one.state == ThreadState::Sending;
        const bool is_current = is_call && thread == state_.running;
        const auto [label, length, capabilities] = words_of(is_current   ? operation.text
                                                            : is_sending ? one.text
                                                                         : Text::Short,
                                                            thread);
        Message& message = before_[thread];
        message = {.label = label, .length = length, .capabilities = capabilities, .badge = 85};
        kern::cap::IpcBuffer& buffer = memory_->frame[thread].buffer;
        for (unsigned i = 0; i < 6; ++i) {
            const std::uint64_t word = 1000 * (thread + 1ULL) + i;
            (i < 4 ? message.words[i] : buffer.words[i]) = word;
        }
        buffer.sent = {1, 1, 0};
        const std::uint64_t receive = receive_slot(thread) - first_table_slot + 1;
        buffer.received = {receive, receive, 0};

        Tcb& real = tcb(thread);
        real.message = message;
        real.status = Status::Done;
        if (!is_sending) real.badge = 0x777;
        if (!is_sending) real.is_call = true;
        if (!is_sending && one.state != ThreadState::Receiving) real.may_grant = true;
    }
    memory_->kernel.fast_calls = memory_->kernel.fast_replies = 0;
}

bool World::run(const Operation& operation) {
    using Kind = Operation::Kind;
    kern::cap::Kernel& kernel = memory_->kernel;
    differences_.clear();
    prepare(operation);
    Model model{state_};
    looks_->begin(nullptr, nullptr);
    switch (operation.kind) {
        case Kind::Call:
            model.system_call(operation.call, operation.slot, operation.text);
            kern::cap::system_call(
                kernel, operation.call,
                operation.slot == none ? 0 : operation.slot - first_table_slot + 1ULL);
            return agrees(model);
        case Kind::Fault: fault(model); break;
        case Kind::Interrupt:
            // As interrupt_arrived does.
            model.interrupt();
            if (kern::cap::Notification* const one = kernel.interrupts[1].notification)
                kern::cap::signal(kernel, *one, kernel.interrupts[1].badge);
            break;
        case Kind::Suspend:
            model.suspend(operation.thread);
            kern::cap::suspend(kernel, tcb(operation.thread));
            break;
        case Kind::Resume:
            model.resume(operation.thread);
            if (tcb(operation.thread).state == ThreadState::Inactive)
                kern::cap::wake(kernel, tcb(operation.thread), kern::cap::Place::Last);
            break;
        case Kind::Derive: {
            const Status wanted = model.derive(operation.slot, operation.destination,
                                               operation.rights, operation.badge);
            const auto data = operation.badge == 0 ? std::optional<std::uint64_t>{}
                                                   : std::optional<std::uint64_t>{operation.badge};
            const Status status = kern::cap::cap_derive(
                slot(operation.slot), slot(operation.destination), operation.rights, data);
            result_agrees(wanted, status);
            break;
        }
        case Kind::Revoke:
        case Kind::Delete: revoke(operation, model); break;
        case Kind::Retype: retype(operation, model); break;
    }
    if (!differences_.empty() || !agrees(model)) return false;
    model.schedule();
    kern::cap::schedule(kernel);
    return agrees(model);
}

/// As kern::cap::fault does, but what it calls is looked at before who runs next is decided.
void World::fault(Model& model) {
    const Id thread = state_.running;
    Tcb& faulty = tcb(thread);
    const Capability handler = faulty.fault_handler.capability;
    const auto [label, length, capabilities] = words_of(Text::Fault, thread);
    model.fault();
    if (handler.type != Type::Endpoint || !handler.allows(kern::cap::write_right))
        return kern::cap::suspend(memory_->kernel, faulty);
    faulty.message.label = label;
    faulty.message.length = length;
    faulty.message.capabilities = capabilities;
    faulty.message.badge = 0;
    faulty.faulted = true;
    kern::cap::ipc_send(memory_->kernel, faulty, kern::cap::endpoint_of(handler),
                        {.badge = handler.value, .is_call = true});
}

void World::revoke(const Operation& operation, Model& model) {
    const bool is_delete = operation.kind == Operation::Kind::Delete;
    const unsigned height = model.height(operation.slot);
    looks_->begin(&model, &operation);
    const Status status =
        kern::cap::cap_revoke(memory_->kernel, slot(operation.slot),
                              is_delete ? kern::cap::Scope::Itself : kern::cap::Scope::Derived);
    const bool was_told = looks_->was_told;
    const std::uintptr_t deepest = looks_->deepest;
    looks_->follow(false);
    looks_->begin(nullptr, nullptr);
    if (!differences_.empty()) return;
    const bool is_done = model.is_done(operation.slot, is_delete);
    const Status wanted = is_done ? Status::Done : Status::Preempted;
    if (!is_done && status == Status::Preempted && !was_told)
        differences_ += "  the result is Preempted, and nobody has told it to stop\n";
    else if (result_agrees(wanted, status) && is_done && memory_->kernel.dead != nullptr)
        differences_ += "  the result is Done, and Kernel::dead is not empty\n";
    if (is_delete || height >= stack_.size()) return;
    stack_[height] = std::max(stack_[height], deepest);
    if (stack_[2] != 0 && stack_[2] < stack_[3] && stack_[3] < stack_[4])
        differences_ += "  the deeper the tree, the more stack is in use: it calls itself\n";
}

void World::retype(const Operation& operation, Model& model) {
    kern::cap::next_dead_slot(memory_->kernel);  // nobody: those that are empty leave the list
    const Cap had = state_.cap[operation.slot];
    Slot& untyped = slot(operation.slot);
    std::byte* const begin = memory_->small.data() + std::size_t{64} * (had.object - first_unit);
    const std::size_t size = had.type == Type::Untyped ? std::size_t{1} << had.bits : 0;
    const bool is_all_free = size != 0 && model.below(operation.slot) == 0;
    const Capability& memory = untyped.capability;
    // Programs have written there.
    if (is_all_free && (memory.value != 0 || memory.where == 0)) std::memset(begin, 0xaa, size);

    List<2> destination;
    for (Id i = 0; i < operation.count; ++i)
        destination.push_back(static_cast<Id>(operation.destination + i));
    const Status wanted = model.retype(operation.slot, operation.type, operation.bits, destination);
    const Status status =
        kern::cap::untyped_retype(memory_->kernel, untyped, operation.type, operation.bits,
                                  std::span{&slot(operation.destination), operation.count});
    if (!result_agrees(wanted, status) || status != Status::Done) return;
    // In which order the new ones stand below the Untyped is left open.
    if (operation.count == 2 && untyped.first_child == &slot(operation.destination)) {
        Id* const at = std::find(state_.tree.at.data(), state_.tree.at.data() + state_.tree.count,
                                 operation.destination);
        std::swap(at[-1], at[0]);
    }
    const std::uint64_t from = is_all_free ? 0 : std::uint64_t{64} * had.value;
    const std::uint64_t first = address(state_.cap[operation.destination]);
    for (const std::byte* one = begin + from;
         operation.type != Type::Untyped && one < reinterpret_cast<std::byte*>(first); ++one)
        if (*one != std::byte{0}) {
            differences_ += "  memory before the first object is not clear\n";
            break;
        }
    for (std::uint64_t i = memory.value; i < std::min<std::uint64_t>(memory.where, size); ++i)
        if (begin[i] != std::byte{0}) {
            differences_ += "  memory up to Capability::where is not clear\n";
            break;
        }
}

}  // namespace lab::exhaustive
