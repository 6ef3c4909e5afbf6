// SPDX-License-Identifier: MIT
// The parts of arch.hh that are one instruction or two.
#include "kern/arch/arch.hh"
#include "kern/arch/x86_64/image.hh"
#include "kern/arch/x86_64/per_cpu.hh"
#include "kern/arch/x86_64/registers.hh"

namespace kern::arch {

CpuidResult cpuid(std::uint32_t leaf, std::uint32_t subleaf) {
    CpuidResult result;
    asm volatile("cpuid"
                 : "=a"(result.eax), "=b"(result.ebx), "=c"(result.ecx), "=d"(result.edx)
                 : "a"(leaf), "c"(subleaf));
    return result;
}

std::uint64_t read_msr(std::uint32_t msr) {
    std::uint32_t low, high;
    asm volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr) : "memory");
    return std::uint64_t{high} << 32 | low;
}
void write_msr(std::uint32_t msr, std::uint64_t value) {
    asm volatile("wrmsr"
                 :
                 : "c"(msr), "a"(static_cast<std::uint32_t>(value)),
                   "d"(static_cast<std::uint32_t>(value >> 32))
                 : "memory");
}

std::uint8_t in8(std::uint16_t port) {
    std::uint8_t value;
    asm volatile("inb %1, %0" : "=a"(value) : "Nd"(port) : "memory");
    return value;
}
void out8(std::uint16_t port, std::uint8_t value) {
    asm volatile("outb %0, %1" : : "a"(value), "Nd"(port) : "memory");
}
std::uint32_t in32(std::uint16_t port) {
    std::uint32_t value;
    asm volatile("inl %1, %0" : "=a"(value) : "Nd"(port) : "memory");
    return value;
}
void out32(std::uint16_t port, std::uint32_t value) {
    asm volatile("outl %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

[[gnu::hot]] std::byte* direct_map(Hpa address) {
    return reinterpret_cast<std::byte*>(direct_map_base + address.value());
}
Hpa physical_address(const void* in_direct_map) {
    return Hpa{reinterpret_cast<std::uintptr_t>(in_direct_map) - direct_map_base};
}

[[gnu::hot]] unsigned cpu_index() {
    // Code stays on its CPU, so this needs no volatile.
    unsigned index;
    asm("movl %%gs:0, %0" : "=r"(index));
    return index;
}

void relax() {
    asm volatile("pause");
    // Whoever spins may hold up a CPU that waits in interrupt_and_wait, and that one the lock.
    answer_interrupt_request();
}

[[gnu::hot]] bool disable_interrupts() {
    const bool enabled = (x86::read_rflags() & x86::rflags::interrupt_enable) != 0;
    x86::disable_interrupts();
    return enabled;
}
[[gnu::hot]] void restore_interrupts(bool enabled) {
    if (enabled) x86::enable_interrupts();
}

std::uint64_t timestamp() {
    return x86::read_timestamp();
}

void wait_for_interrupt() {
    x86::enable_and_halt();
    x86::disable_interrupts();
}

}  // namespace kern::arch
