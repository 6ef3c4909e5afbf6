// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <expected>
#include <utility>

#include "kern/arch/x86_64/processor_state.hh"
#include "kern/lib/error.hh"
#include "kern/proc/fpu.hh"

namespace vmm {

/// What a vCPU keeps in registers that neither the world switch nor the host touches: FPU, SSE and
/// AVX state, XCR0, DR0 to DR3. The host is compiled without floating point and sets no
/// breakpoints, so this moves only when a vCPU comes to a CPU and when it leaves.
class ProcessorState {
   public:
    /// The state after a reset [amd/vol2 table 14-1]. Takes frames on account vcpu. Error:
    /// OutOfMemory.
    static std::expected<ProcessorState, kern::Error> create();

    /// Puts the state into this CPU and remembers what the host had in XCR0.
    void load();
    /// Takes the state from this CPU and gives the host its XCR0 back, and DR0 to DR3 without
    /// anybody's addresses.
    void save();
    /// DR0 to DR3 become zero, as INIT makes them [amd/vol2 table 14-1]; the rest survives it.
    void reset_breakpoints();

   private:
    explicit ProcessorState(kern::FpuState fpu) : fpu_{std::move(fpu)} {}

    kern::FpuState fpu_;
    std::uint64_t xcr0_ = 1;  // x87 alone, as after a reset
    std::uint64_t host_xcr0_ = 0;
    kern::arch::Breakpoints breakpoints_{};
    bool loaded_ = false;
};

}  // namespace vmm
