// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "kern/lib/address.hh"

/// The virtual machine control block, after [amd/vol2 appendix B], revision 3.42.
namespace vmm::svm {

/// Intercepts of accesses to control and debug registers, offsets 0x000 and 0x004: reads 15:0, writes
/// 31:16.
namespace intercept_register {
inline constexpr std::uint32_t write_cr3 = 1U << 19;
inline constexpr std::uint32_t write_cr8 = 1U << 24;
inline constexpr std::uint32_t write_dr0_to_dr7 = 0xffU << 16;
}  // namespace intercept_register

/// Intercepts of the first word, offset 0x00c. Bit n causes exit code 0x60 + n.
namespace intercept1 {
inline constexpr std::uint32_t interrupt = 1U << 0;
inline constexpr std::uint32_t nmi = 1U << 1;
inline constexpr std::uint32_t virtual_interrupt = 1U << 4;
inline constexpr std::uint32_t ltr = 1U << 13;
inline constexpr std::uint32_t rdpmc = 1U << 15;
inline constexpr std::uint32_t cpuid = 1U << 18;
inline constexpr std::uint32_t rsm = 1U << 19;
inline constexpr std::uint32_t iret = 1U << 20;
inline constexpr std::uint32_t invd = 1U << 22;
inline constexpr std::uint32_t hlt = 1U << 24;
inline constexpr std::uint32_t invlpga = 1U << 26;
inline constexpr std::uint32_t io_permission = 1U << 27;
inline constexpr std::uint32_t msr_permission = 1U << 28;
inline constexpr std::uint32_t task_switch = 1U << 29;
inline constexpr std::uint32_t ferr_freeze = 1U << 30;
inline constexpr std::uint32_t shutdown = 1U << 31;
}  // namespace intercept1

/// Intercepts of the second word, offset 0x010. Bit n causes exit code 0x80 + n.
namespace intercept2 {
inline constexpr std::uint32_t vmrun = 1U << 0;
inline constexpr std::uint32_t vmmcall = 1U << 1;
inline constexpr std::uint32_t vmload = 1U << 2;
inline constexpr std::uint32_t vmsave = 1U << 3;
inline constexpr std::uint32_t stgi = 1U << 4;
inline constexpr std::uint32_t clgi = 1U << 5;
inline constexpr std::uint32_t skinit = 1U << 6;
inline constexpr std::uint32_t wbinvd = 1U << 9;
inline constexpr std::uint32_t monitor = 1U << 10;
inline constexpr std::uint32_t mwait = 1U << 11;
inline constexpr std::uint32_t mwait_armed = 1U << 12;
inline constexpr std::uint32_t xsetbv = 1U << 13;
inline constexpr std::uint32_t rdpru = 1U << 14;
}  // namespace intercept2

/// Values of TLB_CONTROL [amd/vol2 15.16.1].
namespace tlb_control {
inline constexpr std::uint8_t nothing = 0;
inline constexpr std::uint8_t flush_all = 1;  ///< every entry of every ASID
}  // namespace tlb_control

/// Bits of V_INTR, offset 0x060 [amd/vol2 15.21.4].
namespace virtual_interrupt {
inline constexpr std::uint64_t task_priority = 0xff;          ///< V_TPR; CR8 is bits 3:0
inline constexpr std::uint64_t pending = 1ULL << 8;           ///< V_IRQ
inline constexpr std::uint64_t ignore_priority = 1ULL << 20;  ///< V_IGN_TPR
inline constexpr std::uint64_t masking = 1ULL
                                         << 24;  ///< V_INTR_MASKING: the host's IF and CR8 hold
}  // namespace virtual_interrupt

inline constexpr std::uint64_t interrupt_shadow = 1ULL << 0;      ///< of interrupt_state
inline constexpr std::uint64_t nested_paging_enable = 1ULL << 0;  ///< NP_ENABLE

/// EVENTINJ and EXITINTINFO [amd/vol2 15.20 and 15.7.2].
namespace event {
inline constexpr std::uint64_t vector = 0xff;
inline constexpr unsigned type_shift = 8;
inline constexpr std::uint64_t type = 7ULL << type_shift;
inline constexpr std::uint64_t type_interrupt = 0ULL << type_shift;
inline constexpr std::uint64_t type_nmi = 2ULL << type_shift;
inline constexpr std::uint64_t type_exception = 3ULL << type_shift;
inline constexpr std::uint64_t type_software = 4ULL << type_shift;
inline constexpr std::uint64_t has_error_code = 1ULL << 11;
inline constexpr std::uint64_t valid = 1ULL << 31;
inline constexpr unsigned error_code_shift = 32;
}  // namespace event

/// The first half: what the host asks for and is told.
struct ControlArea {
    std::uint32_t intercept_cr = 0;
    std::uint32_t intercept_dr = 0;
    std::uint32_t intercept_exceptions = 0;
    std::uint32_t intercept1 = 0;
    std::uint32_t intercept2 = 0;
    std::uint32_t intercept3 = 0;
    std::array<std::byte, 0x3c - 0x18> reserved1{};
    std::uint16_t pause_filter_threshold = 0;
    std::uint16_t pause_filter_count = 0;
    std::uint64_t iopm_base = 0;
    std::uint64_t msrpm_base = 0;
    std::uint64_t tsc_offset = 0;
    std::uint32_t asid = 0;
    std::uint8_t tlb_control = 0;
    std::array<std::byte, 3> reserved2{};
    std::uint64_t virtual_interrupt = 0;
    std::uint64_t interrupt_state = 0;
    std::uint64_t exit_code = 0;
    std::uint64_t exit_info1 = 0;
    std::uint64_t exit_info2 = 0;
    std::uint64_t exit_int_info = 0;
    std::uint64_t nested_paging = 0;
    std::uint64_t avic_apic_bar = 0;
    std::uint64_t ghcb = 0;
    std::uint64_t event_injection = 0;
    std::uint64_t n_cr3 = 0;
    std::uint64_t lbr_virtualization = 0;
    std::uint64_t clean_bits = 0;
    std::uint64_t next_rip = 0;
    std::uint8_t fetched_count = 0;
    std::array<std::uint8_t, 15> fetched_bytes{};
    std::array<std::byte, 0x400 - 0xe0> reserved3{};
};
static_assert(offsetof(ControlArea, pause_filter_threshold) == 0x03c);
static_assert(offsetof(ControlArea, iopm_base) == 0x040);
static_assert(offsetof(ControlArea, asid) == 0x058);
static_assert(offsetof(ControlArea, tlb_control) == 0x05c);
static_assert(offsetof(ControlArea, virtual_interrupt) == 0x060);
static_assert(offsetof(ControlArea, exit_code) == 0x070);
static_assert(offsetof(ControlArea, exit_int_info) == 0x088);
static_assert(offsetof(ControlArea, nested_paging) == 0x090);
static_assert(offsetof(ControlArea, event_injection) == 0x0a8);
static_assert(offsetof(ControlArea, n_cr3) == 0x0b0);
static_assert(offsetof(ControlArea, clean_bits) == 0x0c0);
static_assert(offsetof(ControlArea, next_rip) == 0x0c8);
static_assert(sizeof(ControlArea) == 0x400);

/// A segment register, hidden part included. Attributes are the descriptor's bits 55:52 and 47:40.
struct Segment {
    std::uint16_t selector = 0;
    std::uint16_t attributes = 0;
    std::uint32_t limit = 0;
    std::uint64_t base = 0;
};
static_assert(sizeof(Segment) == 16);

namespace segment {
inline constexpr std::uint16_t data = 0x93;            ///< present, writable, accessed; 16-bit
inline constexpr std::uint16_t code = 0x9b;            ///< present, readable, accessed; 16-bit
inline constexpr std::uint16_t local_table = 0x82;     ///< present LDT
inline constexpr std::uint16_t task = 0x89;            ///< present TSS that is not busy
inline constexpr std::uint16_t present = 1 << 7;       ///< P
inline constexpr std::uint16_t long_mode = 1 << 9;     ///< L
inline constexpr std::uint16_t size_32 = 1 << 10;      ///< D or B
inline constexpr std::uint16_t granularity = 1 << 11;  ///< the limit counts pages
}  // namespace segment

/// The second half: the guest's registers that VMRUN, VMLOAD and VMSAVE know.
struct SaveArea {
    Segment es, cs, ss, ds, fs, gs, gdtr, ldtr, idtr, tr;
    std::array<std::byte, 0xcb - 0xa0> reserved1{};
    std::uint8_t cpl = 0;
    std::array<std::byte, 4> reserved2{};
    std::uint64_t efer = 0;
    std::array<std::byte, 0x148 - 0xd8> reserved3{};
    std::uint64_t cr4 = 0;
    std::uint64_t cr3 = 0;
    std::uint64_t cr0 = 0;
    std::uint64_t dr7 = 0;
    std::uint64_t dr6 = 0;
    std::uint64_t rflags = 0;
    std::uint64_t rip = 0;
    std::array<std::byte, 0x1d8 - 0x180> reserved4{};
    std::uint64_t rsp = 0;
    std::uint64_t s_cet = 0;
    std::uint64_t ssp = 0;
    std::uint64_t interrupt_ssp_table = 0;
    std::uint64_t rax = 0;
    std::uint64_t star = 0;
    std::uint64_t lstar = 0;
    std::uint64_t cstar = 0;
    std::uint64_t sfmask = 0;
    std::uint64_t kernel_gs_base = 0;
    std::uint64_t sysenter_cs = 0;
    std::uint64_t sysenter_esp = 0;
    std::uint64_t sysenter_eip = 0;
    std::uint64_t cr2 = 0;
    std::array<std::byte, 0x268 - 0x248> reserved5{};
    std::uint64_t g_pat = 0;
    std::array<std::byte, 0xc00 - 0x270> reserved6{};
};
static_assert(offsetof(SaveArea, tr) == 0x090);
static_assert(offsetof(SaveArea, cpl) == 0x0cb);
static_assert(offsetof(SaveArea, efer) == 0x0d0);
static_assert(offsetof(SaveArea, cr4) == 0x148);
static_assert(offsetof(SaveArea, cr0) == 0x158);
static_assert(offsetof(SaveArea, rip) == 0x178);
static_assert(offsetof(SaveArea, rsp) == 0x1d8);
static_assert(offsetof(SaveArea, rax) == 0x1f8);
static_assert(offsetof(SaveArea, star) == 0x200);
static_assert(offsetof(SaveArea, cr2) == 0x240);
static_assert(offsetof(SaveArea, g_pat) == 0x268);
static_assert(sizeof(SaveArea) == 0xc00);

struct Vmcb {
    ControlArea control{};
    SaveArea save{};
};
static_assert(sizeof(Vmcb) == kern::page_size && offsetof(Vmcb, save) == 0x400);
static_assert(std::is_standard_layout_v<Vmcb>);

}  // namespace vmm::svm
