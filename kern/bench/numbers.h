// SPDX-License-Identifier: MIT
// What the benchmark kernel and its program agree on, for the preprocessor of C++ and assembly.
#pragma once

#define BARE_CALL 1000  // no number of a system call

// What the program does: `do=` in its arguments.
#define BENCH_CALL 1   // makes `rounds=` calls of number `call=`
#define BENCH_EXIT 2   // ends
#define BENCH_WAIT 3   // waits for a message that never comes
#define BENCH_SPAWN 4  // starts `rounds=` programs, one after the other, and lets each end
