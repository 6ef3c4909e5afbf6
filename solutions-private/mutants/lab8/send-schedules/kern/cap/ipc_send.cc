// SPDX-License-Identifier: MIT
#include "kern/cap/ipc_send.hh"

namespace kern::cap {

void ipc_send(Kernel& kernel, Tcb& sender, Endpoint& endpoint, const Sending& how) {
    Tcb* const receiver = endpoint.queue.first;
    if (receiver == nullptr || receiver->state == Tcb::State::Sending) {
        if (!how.is_blocking) return;
        sender.badge = how.badge;
        sender.may_grant = how.may_grant;
        sender.is_call = how.is_call;
        sleep(kernel, sender, Tcb::State::Sending, &endpoint.queue);
        return;
    }
    leave_queue(*receiver);
    transfer(sender, *receiver, how.badge, how.may_grant);
    if (how.is_call) {
        sleep(kernel, sender, Tcb::State::Calling, nullptr);
        put_caller(*receiver, sender, receiver->may_grant);
    }
    wake(kernel, *receiver, Place::First);
    schedule(kernel);
}

}  // namespace kern::cap
