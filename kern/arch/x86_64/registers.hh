// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "kern/arch/x86_64/boot_constants.h"

/// Registers and their bits, by the manual's names, and the instructions that reach them
/// [amd/vol2 3, intel/vol3a 2].
namespace kern::arch::x86 {

namespace rflags {
inline constexpr std::uint64_t reserved_one = 1ULL << 1;
inline constexpr std::uint64_t trap = 1ULL << 8;
inline constexpr std::uint64_t interrupt_enable = 1ULL << 9;
inline constexpr std::uint64_t direction = 1ULL << 10;
inline constexpr std::uint64_t io_privilege = 3ULL << 12;
inline constexpr std::uint64_t nested_task = 1ULL << 14;
inline constexpr std::uint64_t resume = 1ULL << 16;
inline constexpr std::uint64_t alignment_check = 1ULL << 18;
static_assert(RFLAGS_KERNEL == reserved_one);
}  // namespace rflags

namespace cr0 {
inline constexpr std::uint64_t kernel = CR0_KERNEL;
inline constexpr std::uint64_t pe = 1ULL << 0, mp = 1ULL << 1, et = 1ULL << 4, ne = 1ULL << 5,
                               wp = 1ULL << 16, pg = 1ULL << 31;
static_assert(kernel == (pe | mp | et | ne | wp | pg));
}  // namespace cr0

namespace cr4 {
inline constexpr std::uint64_t pae = CR4_PAE;
inline constexpr std::uint64_t osfxsr = 1ULL << 9;       ///< FXSAVE saves SSE state
inline constexpr std::uint64_t osxmmexcpt = 1ULL << 10;  ///< unmasked SIMD exceptions are #XM
inline constexpr std::uint64_t umip = 1ULL << 11;        ///< ring 3 may not read GDTR and such
inline constexpr std::uint64_t osxsave = 1ULL << 18;     ///< XSAVE and XCR0 exist
inline constexpr std::uint64_t smep = 1ULL << 20;        ///< ring 0 does not execute user pages
inline constexpr std::uint64_t smap = 1ULL << 21;        ///< ring 0 does not touch user pages
}  // namespace cr4

namespace msr {
inline constexpr std::uint32_t apic_base = 0x1b;
inline constexpr std::uint32_t x2apic_base = 0x800;
inline constexpr std::uint32_t efer = 0xc0000080;
inline constexpr std::uint32_t star = 0xc0000081;    ///< SYSCALL: the segments
inline constexpr std::uint32_t lstar = 0xc0000082;   ///< SYSCALL: where it goes
inline constexpr std::uint32_t sfmask = 0xc0000084;  ///< SYSCALL: the flags that it clears
inline constexpr std::uint32_t fs_base = 0xc0000100;
inline constexpr std::uint32_t gs_base = 0xc0000101;
inline constexpr std::uint32_t kernel_gs_base = 0xc0000102;  ///< what SWAPGS exchanges it for
}  // namespace msr

namespace efer {
inline constexpr std::uint64_t system_call = 1ULL << 0;  ///< SYSCALL exists
}

namespace pte {
inline constexpr std::uint64_t present = PTE_PRESENT;
inline constexpr std::uint64_t write = PTE_WRITE;
inline constexpr std::uint64_t uncached = PTE_UNCACHED;  ///< PWT and PCD
inline constexpr std::uint64_t large = PTE_LARGE;
inline constexpr std::uint64_t no_execute = 1ULL << 63;
inline constexpr std::uint64_t address = 0x000f'ffff'ffff'f000;
}  // namespace pte

/// The error code that the CPU pushes for a page fault [amd/vol2 8.4.2].
namespace page_fault {
inline constexpr std::uint64_t present = 1 << 0;
inline constexpr std::uint64_t write = 1 << 1;
inline constexpr std::uint64_t user = 1 << 2;
inline constexpr std::uint64_t reserved_bit = 1 << 3;
inline constexpr std::uint64_t fetch = 1 << 4;
}  // namespace page_fault

inline std::uint64_t read_cr0() {
    std::uint64_t value;
    asm volatile("mov %%cr0, %0" : "=r"(value));
    return value;
}
inline std::uint64_t read_cr2() {
    std::uint64_t value;
    asm volatile("mov %%cr2, %0" : "=r"(value));
    return value;
}
inline std::uint64_t read_cr3() {
    std::uint64_t value;
    asm volatile("mov %%cr3, %0" : "=r"(value));
    return value;
}
inline std::uint64_t read_cr4() {
    std::uint64_t value;
    asm volatile("mov %%cr4, %0" : "=r"(value));
    return value;
}
inline void write_cr3(std::uint64_t value) {
    asm volatile("mov %0, %%cr3" : : "r"(value) : "memory");
}
inline void write_cr4(std::uint64_t value) {
    asm volatile("mov %0, %%cr4" : : "r"(value) : "memory");
}

/// XCR0: which state XSAVE saves [amd/vol2 11.5.2].
inline void write_xcr0(std::uint64_t value) {
    asm volatile("xsetbv"
                 :
                 : "c"(0), "a"(static_cast<std::uint32_t>(value)),
                   "d"(static_cast<std::uint32_t>(value >> 32)));
}

inline std::uint64_t read_rflags() {
    std::uint64_t value;
    asm volatile("pushfq; pop %0" : "=r"(value));
    return value;
}
inline std::uint64_t read_rsp() {
    std::uint64_t value;
    asm volatile("mov %%rsp, %0" : "=r"(value));
    return value;
}
inline void enable_interrupts() {
    asm volatile("sti" : : : "memory");
}
inline void disable_interrupts() {
    asm volatile("cli" : : : "memory");
}
/// Enables interrupts and sleeps until one comes, with no gap between: STI takes effect after the
/// next instruction.
inline void enable_and_halt() {
    asm volatile("sti; hlt" : : : "memory");
}
inline void halt() {
    asm volatile("hlt" : : : "memory");
}

}  // namespace kern::arch::x86
