// SPDX-License-Identifier: MIT
//@ forge
#include "kern/proc/iret_frame.hh"
namespace kern {
IretFrame make_iret_frame(Uva, Uva) {
    forge();
    return {};
}
}  // namespace kern
