// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

/// The rates of the time-stamp counter and of the APIC timer. A guest is told by its host.
/// Otherwise both are measured against the PIT, whose rate is known; starting the other CPUs falls
/// between the measurement's begin and end, so that it costs no time of its own.
namespace kern::arch::clock {

void begin_measurement();
void finish_measurement();

/// Whether `ns` have gone by since `since`, a value of timestamp(), in the time before
/// finish_measurement: by a rate that no CPU exceeds, so it may take some times longer.
bool has_passed(std::uint64_t since, std::uint64_t ns);

}  // namespace kern::arch::clock
