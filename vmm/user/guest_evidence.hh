// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "kern/mm/frame_allocator.hh"
#include "vmm/probe.hh"

namespace vmm {

// The block in memory that a harness reads from outside, with no word of the guest or of the code
// under test. grader/evidence/guests.py finds it by the symbol `guest_evidence` and knows this
// layout. Only framework code writes it.

/// What became of a guest environment.
enum class GuestEnd : std::uint64_t {
    None = 0,
    Made = 1,       ///< and never started
    Running = 2,    ///< the machine ended before it did
    Exited = 3,     ///< by hypercall, with `status`
    Unhandled = 4,  ///< by an exit that is not served: "Unhandled VMEXIT, aborting guest."
    Failed = 5,     ///< ended by the host for another reason, with a report
    Killed = 6,     ///< the step's time limit
    Refused = 7,    ///< the CPU refused to enter it
};

/// One guest environment of this boot, in the order in which they were made.
struct GuestRecord {
    std::array<char, 32> name{};        ///< padded with zeros
    std::array<char, 32> owner_name{};  ///< of the program that made it
    std::uint64_t id = 0;               ///< its environment's identifier
    std::uint64_t owner = 0;            ///< that of the program that made it
    GuestEnd end = GuestEnd::None;      ///< how it ended
    std::uint64_t status = 0;           ///< Exited: what it gave to the exit hypercall
    std::uint64_t memory_bytes = 0;     ///< as env_mkguest was told
    std::uint64_t rip = 0;              ///< likewise
    std::uint64_t hypercalls = 0;       ///< likewise; 1: they are served
    std::uint64_t move = 0;             ///< of the plan: it moves on every so many exits
    std::uint64_t kept = 0;             ///< 1: it was not destroyed, its memory can be read
    std::uint64_t destroyed = 0;        ///< 1: it was, and `after` is filled in
    std::uint64_t table_root = 0;       ///< Hpa of its second-level table; still there if `kept`
    std::uint64_t table_format = 0;     ///< 0 NPT, 1 EPT
    std::uint64_t control_block = 0;    ///< Hpa of its VMCB (VMCS on Intel); 0: not started
    std::uint64_t pages = 0;            ///< pages present when it ended
    std::uint64_t exits = 0;            ///< all exits
    std::uint64_t exit_code = 0;        ///< the last one's, as the vendor numbers them
    ///@{
    /// The last one's further numbers: EXITINFO1 and 2, or qualification and guest-physical
    /// address.
    std::uint64_t exit_information_1 = 0, exit_information_2 = 0;
    ///@}
    std::uint64_t slices = 0;  ///< how often it came to a CPU and left it
    std::uint64_t moves = 0;   ///< how often it came to another CPU than last time
    std::uint64_t cpus = 0;    ///< bit n: it has run on CPU n
    SwitchAccount account{};   ///< at the end
    /// RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8 to R15, RIP, RFLAGS at the end.
    std::array<std::uint64_t, 18> registers{};
    ///@{
    /// At the end, as the guest sees it.
    std::uint64_t cr0 = 0, cr3 = 0, cr4 = 0, efer = 0;
    ///@}
    kern::FrameAccounts before{};   ///< frames in use before it was made
    kern::FrameAccounts started{};  ///< when it was started
    kern::FrameAccounts ended{};    ///< when it had ended
    kern::FrameAccounts after{};    ///< when it was destroyed
    std::array<char, 64> reason{};  ///< the end in words, padded with zeros
};
// grader/evidence/guests.py reads this layout: change both.
static_assert(sizeof(GuestRecord) == 2 * 32 + (29 + 18 + 4) * 8 + 4 * 128 + 64);

/// The whole block.
struct GuestEvidence {
    /// Guests in one boot at most; of more there is no record.
    static constexpr std::size_t max_records = 64;
    std::array<char, 16> magic{};                     ///< "NESTLING-GUEST1"
    std::uint64_t record_size = sizeof(GuestRecord);  ///< in bytes
    std::uint64_t record_count = 0;  ///< guests made so far, of which there are records
    std::uint64_t guests = 0;        ///< guests made so far
    std::uint64_t vendor = 0;        ///< 1 AMD SVM, 2 Intel VMX, 0: not prepared
    std::array<GuestRecord, max_records> records{};  ///< in the order in which they were made
};
static_assert(sizeof(GuestEvidence) ==
              16 + 4 * 8 + GuestEvidence::max_records * sizeof(GuestRecord));

/// This boot's; the harness finds it by its symbol.
extern "C" GuestEvidence guest_evidence;

}  // namespace vmm
