// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <optional>

#include "vmm/guest_memory.hh"
#include "vmm/registers.hh"

/// A virtual machine without hardware for it: the guest's kernel and its programs run in ring 3,
/// and what they may not do there is done in their place.
namespace vmm::soft {

/// What the guest's own CPU would raise: an exception.
struct GuestFault {
    std::uint8_t vector = 0;                    ///< of vmm::vector
    std::optional<std::uint32_t> error_code{};  ///< nothing: this exception has none
    std::uint32_t address = 0;                  ///< of a page fault: what goes into CR2
    /// All of them are equal.
    bool operator==(const GuestFault&) const = default;
};

/// What waits to be delivered and is no interrupt of a device: an exception, or INT n.
struct PendingEvent {
    GuestFault event{};  ///< vector, error code, address
    /// It was INT n or INT3: RIP is behind it already, and the gate's DPL was looked at.
    bool is_software = false;
    /// All of them are equal.
    bool operator==(const PendingEvent&) const = default;
};

/// Vectors of interrupts that wait, as in an APIC's IRR [intel/vol3a 11.8.4].
class VectorSet {
   public:
    ///@{
    /// Puts `vector` in, or takes it out.
    constexpr void add(std::uint8_t vector) { words_[vector / 64] |= 1ULL << vector % 64; }
    constexpr void remove(std::uint8_t vector) { words_[vector / 64] &= ~(1ULL << vector % 64); }
    ///@}
    /// Whether `vector` waits.
    constexpr bool contains(std::uint8_t vector) const {
        return (words_[vector / 64] >> vector % 64 & 1) != 0;
    }
    /// The highest one, which goes first; nothing if none waits.
    constexpr std::optional<std::uint8_t> highest() const {
        for (unsigned i = words_.size(); i-- > 0;)
            if (words_[i] != 0)
                return static_cast<std::uint8_t>(
                    64 * i + 63 - static_cast<unsigned>(std::countl_zero(words_[i])));
        return std::nullopt;
    }
    /// The same vectors.
    bool operator==(const VectorSet&) const = default;

   private:
    std::array<std::uint64_t, 4> words_{};
};

/// What GDTR and IDTR hold.
struct DescriptorTable {
    std::uint32_t base = 0;   ///< a linear address
    std::uint16_t limit = 0;  ///< the last byte that belongs to it, counted from `base`
    /// Both are equal.
    bool operator==(const DescriptorTable&) const = default;
};

/// The task register with its hidden part.
struct TaskRegister {
    std::uint16_t selector = 0;  ///< of its descriptor in the GDT
    std::uint32_t base = 0;      ///< of the TSS, a linear address
    std::uint32_t limit = 0;     ///< the last byte that belongs to it
    /// All of them are equal.
    bool operator==(const TaskRegister&) const = default;
};

/// The flags that POPF and IRET take from the stack in ring 3 as in ring 0: CF, PF, AF, ZF, SF, TF,
/// DF, OF, NT, AC and ID. So of these the real register is the guest's own [amd/vol2 3.1.6].
inline constexpr std::uint32_t program_flags = 0x0024'4dd5;

/// The CPU that the guest believes to have: 32 bits, flat segments (base 0, 4 GiB), rings 0 and 3,
/// two levels of page tables.
///
/// The real CPU is in ring 3 all the time, with the host's selectors and interrupts enabled.
/// So there are two truths for some registers. What ring 3 computes with is in `registers`: the
/// general registers, RIP and the flags of which ring 3 is the master. **Bits IF and IOPL of
/// `registers.rflags` are the real CPU's, and tell nothing of the guest**: its own IF is
/// `interrupts_enabled`, and its IOPL is always 0.
struct SoftCpu {
    Registers registers{};            ///< the lower halves: EAX, ..., EIP, EFLAGS; R8 to R15 are 0
    bool user_mode = false;           ///< the guest's ring is 3, otherwise 0
    bool interrupts_enabled = false;  ///< the guest's IF
    /// No interrupt is delivered before the next instruction has run: STI has set IF [amd/vol2
    /// 8.1.4].
    bool interrupt_shadow = false;
    bool halted = false;  ///< HLT waits for an interrupt
    ///@{
    /// As the guest wrote it.
    std::uint32_t cr0 = 0, cr2 = 0, cr3 = 0, cr4 = 0;
    DescriptorTable gdtr{}, idtr{};
    TaskRegister tr{};
    ///@}
    /// The guest's selectors, by SegmentName. The real ones are the host's.
    std::array<std::uint16_t, 6> selectors{};
    std::optional<PendingEvent> event{};  ///< an exception or INT n that waits
    VectorSet interrupts{};               ///< of devices, that wait

    /// The guest's current privilege level, 0 or 3.
    unsigned cpl() const { return user_mode ? 3 : 0; }
    /// The selector of `name`.
    ///@{
    std::uint16_t& selector(SegmentName name) { return selectors[static_cast<std::size_t>(name)]; }
    std::uint16_t selector(SegmentName name) const {
        return selectors[static_cast<std::size_t>(name)];
    }
    ///@}
    /// For walk_guest.
    GuestMemory::GuestPaging paging() const {
        return {.cr0 = cr0, .cr3 = cr3, .cr4 = cr4, .efer = 0};
    }
};

}  // namespace vmm::soft
