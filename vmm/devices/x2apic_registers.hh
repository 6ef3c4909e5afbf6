// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

/// Numbers and bits of the local APIC's registers, for x2apic.cc and xapic.cc. In a page they are
/// 16 bytes apart, in the same order [amd/vol2 16.3.2].
namespace vmm::x2apic {

/// MSRs [amd/vol2 table 16-6].
enum : std::uint32_t {
    first_register = 0x800,
    id_register = 0x802,
    version_register = 0x803,
    task_priority_register = 0x808,
    processor_priority_register = 0x80a,
    end_of_interrupt = 0x80b,
    logical_destination = 0x80d,
    destination_format = 0x80e,  ///< of the page alone
    spurious_vector = 0x80f,
    in_service_first = 0x810,
    trigger_mode_first = 0x818,
    request_first = 0x820,
    error_status = 0x828,
    interrupt_command = 0x830,
    command_high = 0x831,  ///< of the page alone
    lvt_timer = 0x832,
    lvt_last = 0x837,
    timer_initial_count = 0x838,
    timer_current_count = 0x839,
    timer_divide = 0x83e,
    self_interrupt = 0x83f,
};

///@{
/// What the name says.
inline constexpr std::uint32_t word_count = 8;
inline constexpr std::uint64_t version = 0x0005'0014;  // 6 LVT entries, version 0x14
inline constexpr unsigned class_shift = 4;
inline constexpr std::uint8_t first_legal_vector = 16;
///@}

///@{
/// The bits that there are, and some of them.
inline constexpr std::uint32_t spurious_defined = 0x3ff;  // vector, software enable, focus check
inline constexpr std::uint32_t software_enable = 1U << 8;
inline constexpr std::uint32_t vector_mask = 0xff;
inline constexpr std::uint32_t timer_periodic = 1U << 17;
inline constexpr std::uint32_t timer_defined = 0x3'00ff | 1U << 16;
inline constexpr std::uint32_t lvt_defined = 0x1'a7ff;  // vector, mode, polarity, trigger, mask
///@}

///@{
/// Of the interrupt command register.
inline constexpr unsigned delivery_shift = 8;
inline constexpr std::uint64_t delivery_mask = 7;
inline constexpr std::uint64_t delivery_fixed = 0;
inline constexpr std::uint64_t delivery_nmi = 4;
inline constexpr std::uint64_t delivery_init = 5;
inline constexpr std::uint64_t delivery_startup = 6;
inline constexpr std::uint64_t command_logical = 1U << 11;
inline constexpr std::uint64_t command_assert = 1U << 14;
inline constexpr std::uint64_t command_level = 1U << 15;
inline constexpr unsigned shorthand_shift = 18;
inline constexpr unsigned destination_shift = 32;
inline constexpr std::uint64_t command_defined = 0xffff'ffff'000c'cfff;
///@}

}  // namespace vmm::x2apic
