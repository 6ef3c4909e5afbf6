// SPDX-License-Identifier: MIT
#include "guest/gkernel/devices.hh"

#include "kern/arch/arch.hh"
#include "kern/arch/vectors.hh"

namespace guest {
namespace {

namespace arch = kern::arch;

constexpr kern::Hpa io_apic{0xfec0'0000};
constexpr kern::Hpa console{0xfe00'0000};
constexpr std::uint64_t io_apic_index = 0x00, io_apic_data = 0x10;
constexpr std::uint64_t console_data = 0x00, console_control = 0x0c;
constexpr std::uint32_t console_line = 5, console_interrupt_enable = 1;
constexpr std::uint32_t first_entry = 0x10, masked = 1U << 16;
constexpr unsigned destination_shift = 24;
constexpr std::uint64_t letters = 26;

constexpr std::uint64_t timer_ns = 100'000;

template <class Number>
void write_device(kern::Hpa address, Number value) {
    *reinterpret_cast<volatile Number*>(arch::direct_map(address)) = value;
}

void write_io_apic(std::uint32_t index, std::uint32_t value) {
    write_device(io_apic + io_apic_index, index);
    write_device(io_apic + io_apic_data, value);
}

void route_console(std::uint32_t entry) {
    constexpr std::uint32_t index = first_entry + 2 * console_line;
    const std::uint32_t identifier = arch::cpuid(1).ebx >> destination_shift;
    write_io_apic(index, masked);
    write_io_apic(index + 1, identifier << destination_shift);
    write_io_apic(index, entry);
}

}  // namespace

bool has_x2apic() {
    constexpr std::uint32_t feature = 1U << 21;
    return (arch::cpuid(1).ecx & feature) != 0;
}

std::uint64_t take_timer_interrupts(std::uint64_t count) {
    std::uint64_t came = 0;
    for (std::uint64_t i = 0; i < count; ++i) {
        const bool enabled = arch::disable_interrupts();
        const std::uint64_t until = arch::nanoseconds() + timer_ns;
        arch::set_timer(timer_ns);
        arch::wait_for_interrupt();
        arch::restore_interrupts(enabled);
        if (arch::nanoseconds() >= until) ++came;
    }
    arch::set_timer(0);
    return came;
}

std::uint64_t take_console_interrupts(std::uint64_t count) {
    // Nothing but a wake-up: the kernel has a handler for that.
    route_console(arch::vector::kick);
    write_device(console + console_control, console_interrupt_enable);
    for (std::uint64_t i = 0; i < count; ++i) {
        const bool enabled = arch::disable_interrupts();
        write_device(console + console_data, static_cast<std::uint8_t>('a' + i % letters));
        arch::wait_for_interrupt();
        arch::restore_interrupts(enabled);
    }
    write_device(console + console_control, std::uint32_t{0});
    route_console(masked);
    write_device(console + console_data, static_cast<std::uint8_t>('\n'));
    return count;
}

}  // namespace guest
