// SPDX-License-Identifier: MIT
#include "kern/cap/calls.hh"

#include "kern/cap/cap_lookup.hh"
#include "kern/cap/ipc_fastpath.hh"
#include "kern/cap/ipc_recv.hh"
#include "kern/cap/ipc_send.hh"
#include "kern/cap/reply.hh"
#include "kern/cap/signal.hh"
#include "kern/cap/threads.hh"
#include "kern/cap/wait.hh"

namespace kern::cap {
namespace {

bool is_send(SystemCall call) {
    return call == SystemCall::Send || call == SystemCall::NBSend || call == SystemCall::Call;
}

Status send(Kernel& kernel, Tcb& sender, SystemCall call, Slot& slot) {
    const Capability& capability = slot.capability;
    if (capability.type != Type::Endpoint && capability.type != Type::Notification) {
        const Message sent = sender.message;
        const Status status = invoke(kernel, slot);
        if (call != SystemCall::Call && kernel.current() == &sender) sender.message = sent;
        return status;
    }
    if (!capability.allows(write_right)) return Status::NotAllowed;
    if (capability.type == Type::Endpoint) {
        ipc_send(kernel, sender, endpoint_of(capability),
                 {.badge = capability.value,
                  .may_grant = capability.allows(grant_right),
                  .is_blocking = call != SystemCall::NBSend,
                  .is_call = call == SystemCall::Call});
        return Status::Done;
    }
    if (call == SystemCall::Call) return Status::InvalidCapability;
    signal(kernel, notification_of(capability), capability.value);
    return Status::Done;
}

Status receive(Kernel& kernel, Tcb& receiver, bool is_blocking, const Slot& slot) {
    const Capability& capability = slot.capability;
    if (capability.type != Type::Endpoint && capability.type != Type::Notification)
        return Status::InvalidCapability;
    if (!capability.allows(read_right)) return Status::NotAllowed;
    if (capability.type == Type::Endpoint)
        ipc_recv(kernel, receiver, endpoint_of(capability),
                 {.may_grant = capability.allows(grant_right), .is_blocking = is_blocking});
    else
        wait(kernel, receiver, notification_of(capability), is_blocking);
    return Status::Done;
}

Status serve(Kernel& kernel, Tcb& thread, SystemCall call, std::uint64_t address) {
    if (call == SystemCall::Reply || call == SystemCall::ReplyRecv) reply(kernel, thread);
    if (call == SystemCall::Reply) return Status::Done;
    const auto slot = cap_lookup(thread.cnode.capability, address, 64);
    if (!slot) return Status::InvalidCapability;
    if (is_send(call)) return send(kernel, thread, call, **slot);
    return receive(kernel, thread, call != SystemCall::NBRecv, **slot);
}

bool serve_fast(Kernel& kernel, SystemCall call, std::uint64_t address) {
    if (call == SystemCall::Call && ipc_fastpath(kernel, FastCall::Call, address)) {
        ++kernel.fast_calls;
        return true;
    }
    if (call == SystemCall::ReplyRecv && ipc_fastpath(kernel, FastCall::ReplyRecv, address)) {
        ++kernel.fast_replies;
        return true;
    }
    return false;
}

}  // namespace

Status system_call(Kernel& kernel, SystemCall call, std::uint64_t address) {
    Tcb& thread = *kernel.current();
    thread.status = Status::Done;
    if (serve_fast(kernel, call, address)) return Status::Done;
    if (call == SystemCall::Yield) {
        yield(kernel);
        return Status::Done;
    }
    const Status status = serve(kernel, thread, call, address);
    if (kernel.current() == &thread) {  // it may wait, or have ended itself
        if (status == Status::Preempted) {
            yield(kernel);
            return Status::Preempted;
        }
        thread.status = status;
    }
    schedule(kernel);
    return Status::Done;
}

void fault(Kernel& kernel, const Message& message) {
    Tcb& thread = *kernel.current();
    const Capability handler = thread.fault_handler.capability;
    if (handler.type == Type::Endpoint && handler.allows(write_right)) {
        thread.message = message;
        thread.faulted = true;
        ipc_send(
            kernel, thread, endpoint_of(handler),
            {.badge = handler.value, .may_grant = false, .is_blocking = true, .is_call = true});
    } else {
        suspend(kernel, thread);
    }
    schedule(kernel);
}

void interrupt_arrived(Kernel& kernel, unsigned irq) {
    kernel.machine->mask(irq);
    const Irq& interrupt = kernel.interrupts[irq];
    if (interrupt.notification != nullptr) signal(kernel, *interrupt.notification, interrupt.badge);
    schedule(kernel);
}

}  // namespace kern::cap
