// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <expected>

#include "kern/lib/address.hh"
#include "kern/lib/error.hh"
#include "kern/mm/frame_allocator.hh"

namespace kern {

/// The FPU, SSE and AVX registers of a program or of a guest while it is not on a CPU. The kernel
/// is compiled without floating point, so they stay in the CPU until another one comes.
class FpuState {
   public:
    /// The registers as at a program's start, or after a reset [amd/vol2 table 14-1]: empty, all
    /// exceptions masked. Takes frames on account `owner`. Error: OutOfMemory.
    static std::expected<FpuState, Error> create(FrameOwner owner);
    /// Takes the state over from `other`.
    FpuState(FpuState&& other) noexcept
        : owner_{other.owner_}, area_{other.area_}, frame_count_{other.frame_count_} {
        other.frame_count_ = 0;
    }
    FpuState& operator=(FpuState&&) = delete;
    ~FpuState();

    /// Puts this CPU's registers here.
    void save();
    /// Puts what is here into this CPU's registers.
    void load() const;

   private:
    FpuState(FrameOwner owner, Hpa area, std::uint64_t frame_count)
        : owner_{owner}, area_{area}, frame_count_{frame_count} {}

    FrameOwner owner_;
    Hpa area_;                   // for XSAVE, or FXSAVE if this CPU has no XSAVE
    std::uint64_t frame_count_;  // 0: moved away
};

}  // namespace kern
