// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "kern/arch/x86_numbers.h"

/// Bits of registers and numbers of MSRs, for the kernel, the backends, guests and tests: each
/// stands here and nowhere else [amd/vol2 3, intel/vol3a 2]. The instructions that reach the
/// registers are in `kern/arch/x86_64`.
namespace kern::arch::x86 {

namespace rflags {
inline constexpr std::uint64_t carry = 1ULL << 0;
inline constexpr std::uint64_t reserved_one = 1ULL << 1;  ///< always set
inline constexpr std::uint64_t parity = 1ULL << 2;  ///< the lowest byte has an even number of ones
inline constexpr std::uint64_t auxiliary_carry = 1ULL << 4;  ///< out of bit 3
inline constexpr std::uint64_t zero = 1ULL << 6;
inline constexpr std::uint64_t sign = 1ULL << 7;
inline constexpr std::uint64_t trap = 1ULL << 8;              ///< TF: a #DB after each instruction
inline constexpr std::uint64_t interrupt_enable = 1ULL << 9;  ///< IF: maskable interrupts come
inline constexpr std::uint64_t direction = 1ULL << 10;
inline constexpr std::uint64_t overflow = 1ULL << 11;
inline constexpr std::uint64_t io_privilege = 3ULL << 12;
inline constexpr std::uint64_t nested_task = 1ULL << 14;
inline constexpr std::uint64_t resume = 1ULL << 16;
inline constexpr std::uint64_t virtual_8086 = 1ULL << 17;
inline constexpr std::uint64_t alignment_check = 1ULL << 18;
}  // namespace rflags

namespace cr0 {
inline constexpr std::uint64_t protection_enable = CR0_PE;
inline constexpr std::uint64_t monitor_coprocessor = CR0_MP;
inline constexpr std::uint64_t task_switched = CR0_TS;   ///< each use of the FPU is a #NM
inline constexpr std::uint64_t extension_type = CR0_ET;  ///< always set
inline constexpr std::uint64_t numeric_error = CR0_NE;
inline constexpr std::uint64_t write_protect = CR0_WP;
inline constexpr std::uint64_t not_write_through = 1ULL << 29;
inline constexpr std::uint64_t cache_disable = 1ULL << 30;
inline constexpr std::uint64_t paging = CR0_PG;
/// After INIT [amd/vol2 table 14-1, intel/vol3a 10.1.1].
inline constexpr std::uint64_t reset = cache_disable | not_write_through | extension_type;
}  // namespace cr0

namespace cr4 {
inline constexpr std::uint64_t debugging_extensions = CR4_DE;
inline constexpr std::uint64_t page_size_extensions = CR4_PSE;
inline constexpr std::uint64_t physical_address_extension = CR4_PAE;
inline constexpr std::uint64_t osfxsr = CR4_OSFXSR;       ///< FXSAVE saves SSE state
inline constexpr std::uint64_t osxmmexcpt = 1ULL << 10;   ///< unmasked SIMD exceptions are #XM
inline constexpr std::uint64_t umip = 1ULL << 11;         ///< ring 3 may not read GDTR and such
inline constexpr std::uint64_t five_levels = 1ULL << 12;  ///< LA57: of page tables
inline constexpr std::uint64_t vmx_enable = 1ULL << 13;
inline constexpr std::uint64_t process_context_identifiers = 1ULL << 17;
inline constexpr std::uint64_t osxsave = 1ULL << 18;  ///< XSAVE and XCR0 exist
inline constexpr std::uint64_t smep = 1ULL << 20;     ///< ring 0 does not execute user pages
inline constexpr std::uint64_t smap = 1ULL << 21;     ///< ring 0 does not touch user pages
inline constexpr std::uint64_t control_flow_enforcement = 1ULL << 23;
}  // namespace cr4

/// DR6 tells why a debug exception came, DR7 when one is to come [amd/vol2 13.1.1].
namespace dr6 {
inline constexpr std::uint64_t reset = 0xffff'0ff0;                 ///< after INIT
inline constexpr std::uint64_t debug_register_access = 1ULL << 13;  ///< BD
inline constexpr std::uint64_t single_step = 1ULL << 14;            ///< BS
}  // namespace dr6
namespace dr7 {
inline constexpr std::uint64_t reset = 0x400;                ///< after INIT
inline constexpr std::uint64_t general_detect = 1ULL << 13;  ///< GD
}  // namespace dr7

namespace efer {
inline constexpr std::uint64_t syscall_enable = 1ULL << 0;
inline constexpr std::uint64_t long_mode_enable = EFER_LME;
inline constexpr std::uint64_t long_mode_active = 1ULL << 10;
inline constexpr std::uint64_t no_execute_enable = EFER_NXE;
inline constexpr std::uint64_t secure_virtual_machine_enable = 1ULL << 12;
inline constexpr std::uint64_t fast_fxsave_restore = 1ULL << 14;
}  // namespace efer

namespace msr {
inline constexpr std::uint32_t time_stamp_counter = MSR_TIME_STAMP_COUNTER;
inline constexpr std::uint32_t apic_base = 0x1b;
inline constexpr std::uint32_t feature_control = MSR_FEATURE_CONTROL;
inline constexpr std::uint32_t microcode_patch_level = 0x8b;
inline constexpr std::uint32_t sysenter_cs = MSR_SYSENTER_CS;
inline constexpr std::uint32_t sysenter_esp = MSR_SYSENTER_ESP;
inline constexpr std::uint32_t sysenter_eip = MSR_SYSENTER_EIP;
inline constexpr std::uint32_t debug_control = 0x1d9;
inline constexpr std::uint32_t page_attribute_table = 0x277;
inline constexpr std::uint32_t x2apic_begin = 0x800;  ///< the registers of the x2APIC
inline constexpr std::uint32_t x2apic_end = 0x900;    ///< first number after them
inline constexpr std::uint32_t efer = MSR_EFER;
inline constexpr std::uint32_t star = MSR_STAR;      ///< SYSCALL: the segments
inline constexpr std::uint32_t lstar = MSR_LSTAR;    ///< SYSCALL: where it goes
inline constexpr std::uint32_t cstar = MSR_CSTAR;    ///< the same in compatibility mode
inline constexpr std::uint32_t sfmask = MSR_SFMASK;  ///< SYSCALL: the flags that it clears
inline constexpr std::uint32_t fs_base = MSR_FS_BASE;
inline constexpr std::uint32_t gs_base = MSR_GS_BASE;
inline constexpr std::uint32_t kernel_gs_base = MSR_KERNEL_GS_BASE;  ///< SWAPGS exchanges it
inline constexpr std::uint32_t vm_cr = 0xc001'0114;                  ///< AMD [amd/vol2 15.30]
inline constexpr std::uint32_t vm_hsave_pa = MSR_VM_HSAVE_PA;        ///< AMD
}  // namespace msr

// An entry of a page table in long mode [amd/vol2 5.4].
namespace pte {
inline constexpr std::uint64_t present = PTE_PRESENT;
inline constexpr std::uint64_t write = PTE_WRITE;
inline constexpr std::uint64_t uncached = PTE_UNCACHED;  ///< PWT and PCD
inline constexpr std::uint64_t large = PTE_LARGE;
inline constexpr std::uint64_t no_execute = 1ULL << 63;
inline constexpr std::uint64_t address = 0x000f'ffff'ffff'f000;
}  // namespace pte

// The error code that the CPU pushes for a page fault [amd/vol2 8.4.2].
namespace page_fault {
inline constexpr std::uint64_t present = 1 << 0;
inline constexpr std::uint64_t write = 1 << 1;
inline constexpr std::uint64_t user = 1 << 2;
inline constexpr std::uint64_t reserved_bit = 1 << 3;
inline constexpr std::uint64_t fetch = 1 << 4;
}  // namespace page_fault

}  // namespace kern::arch::x86
