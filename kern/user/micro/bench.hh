// SPDX-License-Identifier: MIT
#pragma once

namespace micro {

/// Measures what messages, signals, look-ups, revocations and page faults cost, and prints it as lines
/// `bench ROW SIDE VALUE` for `nest bench`, in ticks of the time-stamp counter.
void measure();

}  // namespace micro
