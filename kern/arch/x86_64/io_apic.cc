// SPDX-License-Identifier: MIT
// The I/O APIC [intel/ioapic 3]: an index register and a window, and two registers for each input.
#include "kern/arch/x86_64/io_apic.hh"

#include <atomic>

#include "kern/arch/arch.hh"
#include "kern/arch/device_interrupts.hh"
#include "kern/arch/vectors.hh"
#include "kern/arch/x86_64/per_cpu.hh"

namespace kern::arch {
namespace {

constexpr Hpa io_apic{0xfec0'0000};
constexpr std::uint64_t window_at = 0x10;
constexpr std::uint32_t first_entry = 0x10, masked = 1 << 16;
constexpr unsigned destination_shift = 24;
/// The PIT's interrupt is at another input than its number says, on every machine with an I/O APIC.
constexpr unsigned pit = 0, input_of_pit = 2;

std::atomic<bool> routed{false};
std::atomic<std::uint64_t> arrived{0};

void write(std::uint32_t number, std::uint32_t value) {
    std::byte* const registers = direct_map(io_apic);
    *reinterpret_cast<volatile std::uint32_t*>(registers) = number;
    *reinterpret_cast<volatile std::uint32_t*>(registers + window_at) = value;
}

/// An edge, active high, with a vector of its own, to the CPU that the upper half names.
void set_entry(unsigned irq, std::uint32_t mask) {
    const unsigned input = irq == pit ? input_of_pit : irq;
    write(first_entry + 2 * input, mask | (vector::first_interrupt + irq));
}

}  // namespace

void route_device_interrupts() {
    for (unsigned irq = 0; irq < device_interrupts; ++irq) {
        const unsigned input = irq == pit ? input_of_pit : irq;
        if (irq == input_of_pit) continue;  // the second PIC's, which nobody uses
        write(first_entry + 2 * input + 1, this_cpu().apic_id << destination_shift);
        set_entry(irq, masked);
    }
    routed.store(true);
}

void mask_device_interrupt(unsigned irq) {
    if (irq != input_of_pit) set_entry(irq, masked);
}
void unmask_device_interrupt(unsigned irq) {
    if (irq != input_of_pit) set_entry(irq, 0);
}

std::uint64_t take_device_interrupts() {
    return arrived.load(std::memory_order_relaxed) != 0 ? arrived.exchange(0) : 0;
}

bool note_device_interrupt(std::uint64_t vector) {
    const std::uint64_t irq = vector - vector::first_interrupt;
    if (irq >= device_interrupts || !routed.load(std::memory_order_relaxed)) return false;
    arrived.fetch_or(1ULL << irq);
    return true;
}

}  // namespace kern::arch
