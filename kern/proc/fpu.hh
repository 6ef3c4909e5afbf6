// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <expected>

#include "kern/lib/address.hh"
#include "kern/lib/error.hh"

namespace kern {

/// The FPU, SSE and AVX registers of a program while it is not on a CPU. The kernel is compiled
/// without floating point, so they stay in the CPU until another program comes.
class FpuState {
   public:
    /// The registers as at a program's start: empty, all exceptions masked. Takes frames on account
    /// environment. Error: OutOfMemory.
    static std::expected<FpuState, Error> create();
    /// Takes the state over from `other`.
    FpuState(FpuState&& other) noexcept : area_{other.area_}, frame_count_{other.frame_count_} {
        other.frame_count_ = 0;
    }
    FpuState& operator=(FpuState&&) = delete;
    ~FpuState();

    /// Puts this CPU's registers here.
    void save();
    /// Puts what is here into this CPU's registers.
    void load() const;

   private:
    FpuState(Hpa area, std::uint64_t frame_count) : area_{area}, frame_count_{frame_count} {}

    Hpa area_;                   // for XSAVE, or FXSAVE if this CPU has no XSAVE
    std::uint64_t frame_count_;  // 0: moved away
};

}  // namespace kern
