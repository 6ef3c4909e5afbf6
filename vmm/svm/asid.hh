// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

namespace vmm::svm {

/// What a vCPU remembers of the ASID that it got last.
struct AsidTag {
    unsigned cpu = ~0U;
    std::uint64_t generation = 0;
    std::uint32_t asid = 0;
};

/// The address-space identifiers of one physical CPU, which mark the TLB entries of its guests
/// [amd/vol2 15.16]. ASID 0 is the host's.
///
/// Every vCPU that comes to the CPU gets a fresh one. When they run out, a new generation begins:
/// the whole TLB is flushed once and all are free again. So an ASID is never used for two vCPUs
/// without a flush in between, and nobody needs to be told when a vCPU is gone. Used by its own CPU
/// only.
class AsidAllocator {
   public:
    /// @param cpu    the CPU that it is for
    /// @param count  how many the CPU has, ASID 0 included: CPUID 8000_000A EBX; at least 2
    constexpr AsidAllocator(unsigned cpu, std::uint32_t count) : cpu_{cpu}, count_{count} {}

    /// Makes `tag` valid for the next VMRUN on this CPU. Returns whether that VMRUN must flush all
    /// ASIDs (TLB_CONTROL 1).
    [[nodiscard]] constexpr bool assign(AsidTag& tag) {
        if (tag.cpu == cpu_ && tag.generation == generation_) return false;
        const bool rolled_over = next_ == count_;
        if (rolled_over) {
            ++generation_;
            next_ = 1;
        }
        tag = {.cpu = cpu_, .generation = generation_, .asid = next_++};
        return rolled_over;
    }

   private:
    unsigned cpu_;
    std::uint32_t count_;
    std::uint64_t generation_ = 1;
    // As if all had been handed out: what was in the TLB before us is flushed by the first.
    std::uint32_t next_ = count_;
};

}  // namespace vmm::svm
