// SPDX-License-Identifier: MIT
// TCBs.
#include "kern/cap/cap_derive.hh"
#include "kern/cap/cap_revoke.hh"
#include "kern/cap/methods.hh"
#include "kern/cap/threads.hh"

namespace kern::cap {

Status configure(const Invocation& call) {
    static constexpr std::array types{Type::CNode, Type::AddressSpace, Type::Frame, Type::Endpoint};
    Tcb& tcb = tcb_of(call.slot.capability);
    const std::array<Slot*, types.size()> slots{&tcb.cnode, &tcb.space, &tcb.buffer,
                                                &tcb.fault_handler};
    if (tcb.state != Tcb::State::Inactive) return Status::NotAllowed;
    for (std::size_t i = 0; i < types.size(); ++i)
        if (call.words[i] != 0 && call.find(call.words[i], types[i]) == nullptr)
            return Status::InvalidCapability;
    for (Slot* const slot : slots) {
        if (slot->is_empty()) continue;
        const Status status = cap_revoke(call.kernel, *slot, Scope::Itself);
        if (status != Status::Done) return status;
        // That was the last capability to what had the last one to this very thread.
        if (call.slot.is_empty()) return Status::InvalidCapability;
    }
    for (std::size_t i = 0; i < types.size(); ++i) {
        if (call.words[i] == 0) continue;
        Slot* const source = call.find(call.words[i], types[i]);
        if (source == nullptr) return Status::InvalidCapability;
        const Status status = cap_derive(*source, *slots[i], all_rights, std::nullopt);
        if (status != Status::Done) return status;
    }
    return Status::Done;
}

Status set_registers(const Invocation& call) {
    Tcb& tcb = tcb_of(call.slot.capability);
    if (tcb.state != Tcb::State::Inactive && !tcb.faulted) return Status::NotAllowed;
    if (call.words[0] >= user_end) return Status::InvalidArgument;
    call.kernel.hardware->set_registers(
        tcb, {.rip = call.words[0], .rsp = call.words[1], .rdi = call.words[2]});
    return Status::Done;
}

Status get_registers(const Invocation& call) {
    const Tcb& tcb = tcb_of(call.slot.capability);
    if (tcb.state == Tcb::State::Running) return Status::NotAllowed;
    const Registers registers = call.kernel.hardware->registers(tcb);
    for (const std::uint64_t word : {registers.rip, registers.rsp, registers.rdi, registers.rflags})
        call.say(word);
    return Status::Done;
}

Status set_priority(const Invocation& call) {
    Tcb& tcb = tcb_of(call.slot.capability);
    const std::uint64_t priority = call.words[0];
    if (priority >= priorities) return Status::InvalidArgument;
    if (priority > call.caller.priority) return Status::NotAllowed;
    tcb.priority = static_cast<std::uint8_t>(priority);
    if (tcb.state == Tcb::State::Ready) {
        leave_queue(tcb);
        wake(call.kernel, tcb, Place::Last);
    }
    return Status::Done;
}

Status resume(const Invocation& call) {
    Tcb& tcb = tcb_of(call.slot.capability);
    if (tcb.state == Tcb::State::Inactive) wake(call.kernel, tcb, Place::Last);
    return Status::Done;
}
Status suspend(const Invocation& call) {
    suspend(call.kernel, tcb_of(call.slot.capability));
    return Status::Done;
}

Status bind(const Invocation& call) {
    Tcb& tcb = tcb_of(call.slot.capability);
    if (tcb.state != Tcb::State::Inactive && &tcb != &call.caller) return Status::NotAllowed;
    Notification* notification = nullptr;
    if (call.words[0] != 0) {
        const Slot* const found = call.find(call.words[0], Type::Notification);
        if (found == nullptr) return Status::InvalidCapability;
        if (!found->capability.allows(read_right)) return Status::NotAllowed;
        notification = &notification_of(found->capability);
        if (notification->bound != nullptr && notification->bound != &tcb)
            return Status::NotAllowed;
    }
    if (tcb.bound != nullptr) tcb.bound->bound = nullptr;
    tcb.bound = notification;
    if (notification != nullptr) notification->bound = &tcb;
    return Status::Done;
}

}  // namespace kern::cap
