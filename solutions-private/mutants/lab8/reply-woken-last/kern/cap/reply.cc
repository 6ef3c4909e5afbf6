// SPDX-License-Identifier: MIT
#include "kern/cap/reply.hh"

namespace kern::cap {

void reply(Kernel& kernel, Tcb& replier) {
    Tcb* const caller = replier.caller;
    if (caller == nullptr) return;
    const bool may_grant = replier.reply_may_grant;
    drop_caller(replier);
    if (!caller->faulted) {
        transfer(replier, *caller, 0, may_grant);
        wake(kernel, *caller, Place::Last);
        return;
    }
    caller->faulted = false;
    if (replier.message.label == 0)
        wake(kernel, *caller, Place::First);
    else
        sleep(kernel, *caller, Tcb::State::Inactive, nullptr);
}

}  // namespace kern::cap
