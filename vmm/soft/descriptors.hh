// SPDX-License-Identifier: MIT
#pragma once

#include <bit>
#include <cstdint>
#include <expected>

#include "vmm/soft/linear.hh"

namespace vmm::soft {

/// The parts of a selector [amd/vol2 4.5.1].
namespace selector {
///@{
/// What the bits tell.
inline constexpr std::uint16_t rpl = 3;         ///< requested privilege level
inline constexpr std::uint16_t table = 1 << 2;  ///< in the LDT, of which this CPU has none
inline constexpr std::uint16_t index = 0xfff8;  ///< times 8: the offset in the GDT
///@}
/// Whether it is one of the four that mean no segment.
constexpr bool is_null(std::uint16_t selector) {
    return (selector & ~rpl) == 0;
}
}  // namespace selector

/// Bits of an error code that is about a selector or a gate [amd/vol2 8.4.1].
namespace error_code {
///@{
/// The bit of this name.
inline constexpr std::uint32_t external = 1U << 0;
inline constexpr std::uint32_t idt = 1U << 1;    ///< the index is a vector
inline constexpr std::uint32_t table = 1U << 2;  ///< else: of the LDT
///@}
/// Where the index begins: the vector, or the selector's index.
inline constexpr unsigned index_shift = 3;
}  // namespace error_code

///@{
/// Exceptions about selectors, beside those of vmm::vector [amd/vol2 8.2].
inline constexpr std::uint8_t segment_not_present = 11, stack_fault = 12;
///@}

/// A segment descriptor of 8 bytes [amd/vol2 4.7]. A value, never memory itself.
struct SegmentDescriptor {
    ///@{
    /// The field of this name.
    std::uint64_t limit_low : 16;
    std::uint64_t base_low : 24;
    std::uint64_t type : 4;
    std::uint64_t is_code_or_data : 1;  ///< S; 0: a system segment, such as a TSS
    std::uint64_t dpl : 2;
    std::uint64_t present : 1;
    std::uint64_t limit_high : 4;
    std::uint64_t available : 1;
    std::uint64_t long_mode : 1;
    std::uint64_t big : 1;
    std::uint64_t granularity : 1;
    std::uint64_t base_high : 8;
    ///@}

    /// A linear address.
    std::uint32_t base() const {
        return static_cast<std::uint32_t>(base_low) | static_cast<std::uint32_t>(base_high) << 24;
    }
    /// The last byte that belongs to it.
    std::uint32_t limit() const {
        const auto raw =
            static_cast<std::uint32_t>(limit_low) | static_cast<std::uint32_t>(limit_high) << 16;
        return granularity != 0 ? raw << 12 | 0xfff : raw;
    }
    ///@{
    /// What kind of segment it is.
    bool is_code() const { return is_code_or_data != 0 && (type & 8) != 0; }
    bool is_writable_data() const { return is_code_or_data != 0 && (type & 0xa) == 2; }
    bool is_readable() const {
        return is_code_or_data != 0 && ((type & 8) == 0 || (type & 2) != 0);
    }
    bool is_conforming() const { return is_code() && (type & 4) != 0; }
    bool is_available_tss() const { return is_code_or_data == 0 && type == 9; }
    ///@}
};
static_assert(sizeof(SegmentDescriptor) == 8);

/// A gate of the IDT, of 8 bytes [amd/vol2 4.7.3]. A value, never memory itself.
struct Gate {
    ///@{
    /// The field of this name.
    std::uint64_t offset_low : 16;
    std::uint64_t selector : 16;
    std::uint64_t unused : 8;
    std::uint64_t type : 4;  ///< e: interrupt gate, f: trap gate, both of 32 bits
    std::uint64_t zero : 1;
    std::uint64_t dpl : 2;
    std::uint64_t present : 1;
    std::uint64_t offset_high : 16;
    ///@}

    /// Where the handler begins.
    std::uint32_t offset() const {
        return static_cast<std::uint32_t>(offset_low) | static_cast<std::uint32_t>(offset_high)
                                                            << 16;
    }
    ///@{
    /// What kind of gate it is; an interrupt gate clears IF.
    bool is_interrupt_gate() const { return zero == 0 && type == 0xe; }
    bool is_trap_gate() const { return zero == 0 && type == 0xf; }
    ///@}
};
static_assert(sizeof(Gate) == 8);

/// Reads the guest's descriptor of `selector`. Errors: \#GP with the selector (without its RPL) as
/// error code if it lies in an LDT or beyond GDTR's limit; a page fault if the GDT is not mapped.
std::expected<SegmentDescriptor, GuestFault> read_descriptor(const SoftCpu& cpu,
                                                             const GuestMemory& memory,
                                                             std::uint16_t selector);

/// Reads the guest's gate of `vector`. Errors: \#GP with the gate as error code (bit
/// error_code::idt and the vector) if it lies beyond IDTR's limit; a page fault if the IDT is not
/// mapped.
std::expected<Gate, GuestFault> read_gate(const SoftCpu& cpu, const GuestMemory& memory,
                                          std::uint8_t vector);

///@{
/// The \#GP with that error code: a selector, of which the RPL does not count; a vector; 0.
GuestFault protection_fault_of(std::uint16_t selector);
GuestFault protection_fault_of_gate(std::uint8_t vector);
GuestFault protection_fault();
///@}

}  // namespace vmm::soft
