// SPDX-License-Identifier: MIT
#include "kern/cap/ipc_recv.hh"

namespace kern::cap {

void ipc_recv(Kernel& kernel, Tcb& receiver, Endpoint& endpoint, const Receiving& how) {
    drop_caller(receiver);
    Notification* const bound = receiver.bound;
    if (bound != nullptr && bound->word != 0) {
        give_word(receiver, bound->word);
        bound->active = bound->word = 0;
        return;
    }
    Tcb* const sender = endpoint.queue.first;
    if (sender != nullptr && sender->state == Tcb::State::Sending) {
        leave_queue(*sender);
        transfer(*sender, receiver, sender->badge, sender->may_grant);
        if (sender->is_call) {
            sleep(kernel, *sender, Tcb::State::Calling, nullptr);
            put_caller(receiver, *sender, how.may_grant);
        } else {
            wake(kernel, *sender, Place::Last);
        }
        return;
    }
    if (!how.is_blocking) {
        give_word(receiver, 0);
        return;
    }
    receiver.may_grant = how.may_grant;
    sleep(kernel, receiver, Tcb::State::Receiving, &endpoint.queue);
}

}  // namespace kern::cap
