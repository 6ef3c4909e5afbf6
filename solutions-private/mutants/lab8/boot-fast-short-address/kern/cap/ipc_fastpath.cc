// SPDX-License-Identifier: MIT
#include "kern/cap/ipc_fastpath.hh"

namespace kern::cap {
namespace {

/// The current thread waits; `next`, which stands in no queue, has its CPU.
void switch_to(Kernel& kernel, Tcb& next) {
    next.state = Tcb::State::Running;
    next.cpu = static_cast<std::uint8_t>(kernel.cpu);
    kernel.current() = &next;
}

}  // namespace

bool ipc_fastpath(Kernel& kernel, FastCall call, std::uint64_t address) {
    Tcb& self = *kernel.current();
    if (self.message.length > register_words || self.message.capabilities != 0) return false;
    const auto found = cap_lookup(self.cnode.capability, address, 64);
    if (!found) return false;
    const Capability& capability = (*found)->capability;
    const bool is_call = call == FastCall::Call;
    if (capability.type != Type::Endpoint || !capability.allows(is_call ? write_right : read_right))
        return false;
    constexpr std::uint64_t address_bits = (1ULL << 48) - 1;
    Queue& queue = reinterpret_cast<Endpoint*>(capability.object & address_bits)->queue;
    Tcb* const waits = queue.first;
    const bool is_received = waits != nullptr && waits->state == Tcb::State::Receiving;
    Tcb* const other = is_call ? waits : self.caller;
    if (other == nullptr || highest_ready(kernel) > other->priority) return false;

    if (is_call) {
        if (!is_received) return false;
        leave_queue(*other);
        transfer(self, *other, capability.value, false);
        sleep(kernel, self, Tcb::State::Calling, nullptr);
        put_caller(*other, self, other->may_grant);
    } else {
        const bool is_signalled = self.bound != nullptr && self.bound->active != 0;
        if (other->faulted || is_signalled || (waits != nullptr && !is_received)) return false;
        drop_caller(self);
        transfer(self, *other, 0, false);
        self.may_grant = capability.allows(grant_right);
        sleep(kernel, self, Tcb::State::Receiving, &queue);
    }
    switch_to(kernel, *other);
    return true;
}

}  // namespace kern::cap
