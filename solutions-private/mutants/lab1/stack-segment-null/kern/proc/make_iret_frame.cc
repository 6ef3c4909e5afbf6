// SPDX-License-Identifier: MIT
#include "kern/proc/iret_frame.hh"

namespace kern {

IretFrame make_iret_frame(Uva entry, Uva stack_top) {
    return {.rip = entry.value(),
            .cs = arch::selector::user_code,
            .rflags = rflags::interrupt_enable | rflags::reserved_one,
            .rsp = stack_top.value(),
            .ss = 0};
}

}  // namespace kern
