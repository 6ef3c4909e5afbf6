// SPDX-License-Identifier: MIT
#include "kern/arch/x86_64/processor_state.hh"

#include "kern/arch/arch.hh"
#include "kern/arch/fpu.hh"
#include "kern/arch/x86_64/registers.hh"

namespace kern::arch {
namespace {

constexpr std::uint32_t xsave_leaf = 0xd;
constexpr std::size_t fxsave_size = 512;

}  // namespace

bool has_xsave() {
    return (x86::read_cr4() & x86::cr4::osxsave) != 0;
}

std::uint64_t read_xcr0() {
    std::uint64_t low, high;  // each in the lower half of its register
    asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return high << 32 | low;
}

void write_xcr0(std::uint64_t value) {
    x86::write_xcr0(value);
}

std::size_t fpu_state_size() {
    return has_xsave() ? cpuid(xsave_leaf).ebx : fxsave_size;
}
void save_fpu(std::byte* area) {
    if (has_xsave())
        asm volatile("xsave64 (%0)" : : "r"(area), "a"(~0U), "d"(~0U) : "memory");
    else
        asm volatile("fxsave64 (%0)" : : "r"(area) : "memory");
}
void forbid_fpu() {
    x86::write_cr0(x86::read_cr0() | x86::cr0::task_switched);
}
void load_fpu(const std::byte* area) {
    if (has_xsave())
        asm volatile("xrstor64 (%0)" : : "r"(area), "a"(~0U), "d"(~0U) : "memory");
    else
        asm volatile("fxrstor64 (%0)" : : "r"(area) : "memory");
}

Breakpoints read_breakpoints() {
    Breakpoints breakpoints;
    asm volatile("mov %%dr0, %0" : "=r"(breakpoints[0]));
    asm volatile("mov %%dr1, %0" : "=r"(breakpoints[1]));
    asm volatile("mov %%dr2, %0" : "=r"(breakpoints[2]));
    asm volatile("mov %%dr3, %0" : "=r"(breakpoints[3]));
    return breakpoints;
}

void write_breakpoints(const Breakpoints& breakpoints) {
    asm volatile("mov %0, %%dr0" : : "r"(breakpoints[0]));
    asm volatile("mov %0, %%dr1" : : "r"(breakpoints[1]));
    asm volatile("mov %0, %%dr2" : : "r"(breakpoints[2]));
    asm volatile("mov %0, %%dr3" : : "r"(breakpoints[3]));
}

}  // namespace kern::arch
