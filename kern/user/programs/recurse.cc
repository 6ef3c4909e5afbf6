// SPDX-License-Identifier: MIT
// Uses up its stack, one page, and goes on into page zero.
#include "kern/user/user.hh"

namespace {
[[gnu::noinline]] unsigned down(unsigned depth) {
    volatile unsigned here = depth;
    if (here == ~0U) return 0;  // far beyond what a stack holds
    return down(here + 1) + here;
}
}  // namespace

extern "C" void main() {
    user::exit(down(0));
}
