// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <expected>

#include "kern/arch/x86_64/processor_state.hh"
#include "kern/lib/address.hh"
#include "kern/lib/error.hh"

namespace vmm {

/// What a vCPU keeps in registers that neither the world switch nor the host touches: FPU, SSE and
/// AVX state, XCR0, DR0 to DR3. The host is compiled without floating point and sets no
/// breakpoints, so this moves only when a vCPU comes to a CPU and when it leaves.
class ProcessorState {
   public:
    /// The state after a reset [amd/vol2 table 14-1]. Takes frames on account vcpu. Error:
    /// OutOfMemory.
    static std::expected<ProcessorState, kern::Error> create();
    /// Takes the state over from `other`.
    ProcessorState(ProcessorState&& other) noexcept;
    ProcessorState& operator=(ProcessorState&&) = delete;
    ~ProcessorState();

    /// Puts the state into this CPU and remembers what the host had in XCR0.
    void load();
    /// Takes the state from this CPU and gives the host its XCR0 back, and DR0 to DR3 without
    /// anybody's addresses.
    void save();
    /// DR0 to DR3 become zero, as INIT makes them [amd/vol2 table 14-1]; the rest survives it.
    void reset_breakpoints();

   private:
    ProcessorState(kern::Hpa area, std::uint64_t frame_count, std::uint64_t components)
        : area_{area}, frame_count_{frame_count}, components_{components} {}

    kern::Hpa area_;             // for XSAVE, or FXSAVE if this CPU has no XSAVE
    std::uint64_t frame_count_;  // 0: moved away
    std::uint64_t components_;   // all that XCR0 may enable; 0: there is only FXSAVE
    std::uint64_t xcr0_ = 1;     // x87 alone, as after a reset
    std::uint64_t host_xcr0_ = 0;
    kern::arch::Breakpoints breakpoints_{};
    bool loaded_ = false;
};

}  // namespace vmm
