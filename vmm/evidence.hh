// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstdint>

#include "kern/mm/frame_allocator.hh"

namespace vmm {

// The block in memory that a harness reads from outside, with no word of the guest or of the code
// under test. grader/evidence/vms.py finds it by the symbol `vmm_evidence` and knows this layout.
// Only framework code writes it.

/// What became of a virtual machine.
enum class VmState : std::uint64_t {
    None = 0,
    Refused = 1,  ///< the image or the arguments were not accepted; `error` says why
    Running = 2,
    Exited = 3,   ///< by hypercall, with `status`
    Failed = 4,   ///< ended by the host with a report; `error` is why where a page was refused
    Stopped = 5,  ///< the time limit
};

/// One virtual machine of this boot, in the order of the plan.
struct VmRecord {
    std::array<char, 32> name{};          ///< padded with zeros
    VmState state = VmState::None;        ///< how far it came
    std::uint64_t status = 0;             ///< what the guest gave to the exit hypercall
    std::uint64_t error = 0;              ///< kern::Error + 1; 0: none
    std::uint64_t table_root = 0;         ///< Hpa of the second-level table; still there if `kept`
    std::uint64_t table_format = 0;       ///< 0 NPT, 1 EPT
    std::uint64_t vcpu_count = 0;         ///< as planned
    std::uint64_t kept = 0;               ///< 1: the VM was not destroyed, its memory can be read
    std::uint64_t entry = 0;              ///< Gpa of the first instruction
    std::uint64_t nested_faults = 0;      ///< handed to try_lazy_paging
    std::uint64_t exits = 0;              ///< all exits
    std::uint64_t hold_faults = 0;        ///< vCPUs that had faulted on the held page by then
    std::uint64_t hold_expired = 0;       ///< 1: a read was let go by the time limit
    std::uint64_t fills = 0;              ///< reads of the image file that began on the held page
    std::array<std::uint64_t, 8> vmcb{};  ///< Hpa of each vCPU's VMCB (VMCS on Intel)
    kern::FrameAccounts before{};         ///< frames in use before the VM was made
    kern::FrameAccounts created{};        ///< when it was ready to run
    kern::FrameAccounts ended{};          ///< when its last vCPU had stopped
    kern::FrameAccounts after{};          ///< when it was destroyed; equal to `ended` if kept
    std::uint64_t held_reads = 0;         ///< reads that a `hold` of the plan made wait
    std::uint64_t failed_reads = 0;       ///< reads that a `fail` of the plan made fail
    std::uint64_t failed_address = 0;     ///< Gpa of the page that was refused, if state is Failed
    std::uint64_t creation_nanoseconds = 0;  ///< from the begin of from_image until ready to run
    std::uint64_t run_nanoseconds = 0;       ///< from then until its last vCPU had stopped
    std::uint64_t cr3_writes = 0;            ///< that exited, where the plan asks for that
    std::uint64_t page_faults = 0;           ///< the guest's own, likewise
    std::array<char, 64> reason{};  ///< why it was refused or ended, in words, padded with zeros
    std::uint64_t instruction_bytes = 0;      ///< of what the host should have done and could not
    std::array<std::byte, 16> instruction{};  ///< these bytes, padded with zeros
};
// grader/evidence/vms.py reads this layout: change both.
static_assert(sizeof(VmRecord) == 32 + 13 * 8 + 8 * 8 + 4 * 128 + 7 * 8 + 64 + 8 + 16);

/// The whole block.
struct Evidence {
    /// VMs in one boot at most.
    static constexpr std::size_t max_records = 32;
    std::array<char, 16> magic{};                  ///< "NESTLING-EVID-1"
    std::uint64_t record_size = sizeof(VmRecord);  ///< in bytes
    std::uint64_t record_count = 0;                ///< VMs begun so far
    std::uint64_t finished = 0;                    ///< 1: the plan was carried out to its end
    std::uint64_t cpus = 0;                        ///< that are up
    std::array<VmRecord, max_records> records{};   ///< in the order of the plan
};

static_assert(sizeof(Evidence) == 16 + 4 * 8 + 32 * sizeof(VmRecord));

/// This boot's; the harness finds it by its symbol.
extern "C" Evidence vmm_evidence;

}  // namespace vmm
