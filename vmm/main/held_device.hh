// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <span>

#include "kern/fs/block_device.hh"
#include "kern/fs/file_system.hh"
#include "vmm/main/plan.hh"
#include "vmm/paging/second_level_table.hh"

namespace vmm {

/// The block that stands for the page at `page` of the guest image `kernel`: whoever fills that
/// page from the file reads this block, and nobody who fills another page does. The first block
/// that lies wholly within the page's bytes; where the file has too few bytes of the page for that,
/// the first that holds one. Errors: NotFound (no byte of the page comes from the file), or what
/// parsing finds.
std::expected<std::uint64_t, Error> block_of_page(const kern::File& kernel, Gpa page);

/// A block device that does what a plan asks with the reads of one VM: makes them wait or fail.
/// Races are forced with it, not hoped for. Every wait ends, at the latest after its time limit.
class HeldDevice final : public kern::BlockDevice {
   public:
    /// Passes on to `device`, which must live longer than this.
    explicit HeldDevice(kern::BlockDevice& device) : device_{device} {}

    /// What happened since arm().
    struct Record {
        std::uint64_t hold_faults =
            0;  ///< vCPUs that had faulted on the held page when it was let go
        std::uint64_t hold_expired = 0;  ///< 1: a read was let go by the time limit
        std::uint64_t fills = 0;         ///< reads that served the held page
        std::uint64_t held_reads = 0;    ///< reads that had to wait
        std::uint64_t failed_reads = 0;  ///< reads that were made to fail
    };

    /// Starts to do what `plan` asks with the reads of `kernel`. `table` is the VM's and stays
    /// until disarm(). No reads may be under way. Errors: those of block_of_page for the held and
    /// the failing page; then every read is served at once.
    std::expected<void, Error> arm(const VmPlan& plan, const kern::File& kernel,
                                   const SecondLevelTable& table);
    /// `vcpu` (0 to 63) faulted on `page`; counted once. Any CPU.
    void count_fault(Gpa page, unsigned vcpu);
    /// Serves every read at once again, and tells what happened. No reads may be under way.
    Record disarm();

    std::uint64_t block_count() const override { return device_.block_count(); }
    std::expected<void, Error> read(std::uint64_t first, std::span<std::byte> out) override;
    std::expected<void, Error> write(std::uint64_t first, std::span<const std::byte> in) override {
        return device_.write(first, in);
    }

   private:
    template <class Condition>
    void wait_for(Condition condition);
    void hold();

    kern::BlockDevice& device_;
    // Set by arm(), constant while a VM runs.
    HoldPlan plan_{};
    std::optional<std::uint64_t> held_block_{};
    std::optional<std::uint64_t> until_block_{};
    std::optional<std::uint64_t> failing_block_{};
    const SecondLevelTable* table_ = nullptr;
    std::uint64_t limit_ns_ = 0;
    // Counted by the vCPUs' CPUs.
    std::atomic<std::uint64_t> faulted_{0};  // bit n: vCPU n, on the held page
    std::atomic<bool> begun_{false};
    std::atomic<bool> expired_{false};
    std::atomic<std::uint64_t> faults_when_let_go_{0};
    std::atomic<std::uint64_t> fills_{0};
    std::atomic<std::uint64_t> held_reads_{0};
    std::atomic<std::uint64_t> failed_reads_{0};
};

}  // namespace vmm
