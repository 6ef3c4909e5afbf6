// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "kern/arch/x86.hh"

/// The instructions that reach the registers whose bits x86.hh names [amd/vol2 3, intel/vol3a 2].
namespace kern::arch::x86 {

inline std::uint64_t read_cr0() {
    std::uint64_t value;
    asm volatile("mov %%cr0, %0" : "=r"(value));
    return value;
}
inline std::uint64_t read_timestamp() {
    std::uint32_t low, high;
    asm volatile("rdtsc" : "=a"(low), "=d"(high) : : "memory");
    return std::uint64_t{high} << 32 | low;
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
inline void write_cr0(std::uint64_t value) {
    asm volatile("mov %0, %%cr0" : : "r"(value) : "memory");
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
