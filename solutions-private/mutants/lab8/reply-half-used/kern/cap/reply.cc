// SPDX-License-Identifier: MIT
#include "kern/cap/reply.hh"

namespace kern::cap {

void reply(Kernel& kernel, Tcb& replier) {
    Tcb* const caller = replier.caller;
    if (caller == nullptr) return;
    const bool may_grant = replier.reply_may_grant;
    replier.caller = nullptr;
    replier.reply_may_grant = false;
    if (!caller->faulted) {
        transfer(replier, *caller, 0, may_grant);
        wake(kernel, *caller, Place::First);
        return;
    }
    caller->faulted = false;
    if (replier.message.label == 0)
        wake(kernel, *caller, Place::First);
    else
        sleep(kernel, *caller, Tcb::State::Inactive, nullptr);
}

}  // namespace kern::cap
