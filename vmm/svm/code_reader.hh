// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "vmm/backend.hh"
#include "vmm/guest_memory.hh"
#include "vmm/svm/instruction.hh"
#include "vmm/svm/vmcb.hh"

namespace vmm::svm {

/// Whether the guest's code segment is a 64-bit one.
inline bool is_64_bit(const SaveArea& save) {
    return (save.efer & efer::long_mode_active) != 0 &&
           (save.cs.attributes & segment::long_mode) != 0;
}

/// Reads the instructions that exit out of the guest's memory, for a CPU that does not say how long
/// they are. Most exits come from a few places, and a walk through two kinds of tables takes longer
/// than all the rest of an exit. So the last page is remembered with what the walk has read, and the
/// last instruction with its bytes; both are used only while all of that is as it was.
class CodeReader {
   public:
    /// `memory` is the guest's, and outlives this.
    explicit CodeReader(const GuestMemory& memory) : memory_{memory} {}

    /// The instruction at the guest's `rip`, which has caused `exit_code`; nothing if it cannot be
    /// read, or is another one. See decode_instruction.
    std::optional<Instruction> read(const SaveArea& save, std::uint64_t rip,
                                    std::uint64_t exit_code, std::uint64_t exit_information);
    /// Any CPU: entries of the second-level table have been changed or removed.
    void forget() { page_is_good_.store(false); }

   private:
    /// What decode_instruction goes by. The two words overlap: together longest_instruction bytes.
    struct Question {
        std::uint64_t first = 0, last = 0;
        std::uint64_t exit_code = 0, exit_information = 0;
        bool is_64_bit_code = false;
        bool operator==(const Question&) const = default;
    };
    using Bytes = std::array<std::byte, longest_instruction>;

    const std::byte* find_page(Gva page, const GuestMemory::GuestPaging& paging);

    const GuestMemory& memory_;
    std::atomic<bool> page_is_good_{false};
    Gva page_{};
    GuestMemory::GuestPaging paging_{};
    GuestMemory::Walk walk_{};
    const std::byte* page_bytes_ = nullptr;  // in the direct map
    Question question_{};
    std::optional<Instruction> answer_{};
};

}  // namespace vmm::svm
