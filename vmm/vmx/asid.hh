// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

namespace vmm::vmx {

/// What a vCPU remembers of the VPID that it got last.
struct VpidTag {
    unsigned cpu = ~0U;
    std::uint64_t generation = 0;
    std::uint16_t vpid = 0;
};

/// What must be done on this CPU before the next VM entry.
enum class Flush : std::uint8_t {
    Nothing,     ///< the vCPU has stayed here
    Table,       ///< INVEPT, single context: its table's frames may have been another VM's table
    Everything,  ///< INVEPT and INVVPID, all contexts: the VPIDs begin anew
};

/// The virtual-processor identifiers of one physical CPU, which mark the TLB entries of its guests
/// [intel/vol3c 29.1]: Intel's name for AMD's ASIDs, and handed out alike. VPID 0 is the host's.
///
/// Every vCPU that comes to the CPU gets a fresh one. When they run out, a new generation begins.
/// So a VPID is never used for two vCPUs without a flush in between. Used by its own CPU only.
class VpidAllocator {
   public:
    /// How many there are, VPID 0 included: 16 bits on every CPU.
    static constexpr std::uint32_t all = 1U << 16;

    /// @param cpu    the CPU that it is for
    /// @param count  how many are used, VPID 0 included; at least 2
    constexpr explicit VpidAllocator(unsigned cpu, std::uint32_t count = all)
        : cpu_{cpu}, count_{count} {}

    /// Makes `tag` valid for the next VM entry on this CPU.
    [[nodiscard]] constexpr Flush assign(VpidTag& tag) {
        if (tag.cpu == cpu_ && tag.generation == generation_) return Flush::Nothing;
        const bool rolled_over = next_ == count_;
        if (rolled_over) {
            ++generation_;
            next_ = 1;
        }
        tag = {.cpu = cpu_, .generation = generation_, .vpid = static_cast<std::uint16_t>(next_++)};
        return rolled_over ? Flush::Everything : Flush::Table;
    }

   private:
    unsigned cpu_;
    std::uint32_t count_;
    std::uint64_t generation_ = 1;
    // As if all had been handed out: what was in the TLB before us is flushed by the first.
    std::uint32_t next_ = count_;
};

}  // namespace vmm::vmx
