// SPDX-License-Identifier: MIT
#include "kern/arch/x86_64/console.hh"

#include <array>

#include "kern/arch/arch.hh"
#include "kern/arch/user.hh"
#include "kern/arch/x86_64/guest.hh"
#include "kern/arch/x86_64/registers.hh"
#include "kern/lib/print.hh"

namespace kern::arch {
namespace {

// COM1, a 16550 UART [ns16550].
constexpr std::uint16_t com1 = 0x3f8;
constexpr std::uint16_t transmit = com1, divisor_low = com1, divisor_high = com1 + 1,
                        interrupt_enable = com1 + 1, fifo_control = com1 + 2,
                        line_control = com1 + 3, modem_control = com1 + 4, line_status = com1 + 5;
constexpr std::uint8_t divisor_access = 0x80, eight_bits = 0x03, fifo_on = 0x07, dtr_and_rts = 0x03;
constexpr std::uint8_t transmitter_empty = 0x20, transmitter_idle = 0x40, data_ready = 0x01,
                       no_uart = 0xff;
constexpr unsigned fifo_size = 16;
// A UART that is not there reads all ones, and one that is stuck must not hang the kernel.
constexpr unsigned patience = 100'000;

// Where an emulator ends: QEMU's isa-debug-exit device, and its and Bochs's power management.
constexpr std::uint16_t debug_exit = 0xf4;
constexpr std::uint16_t qemu_acpi_control = 0x604, bochs_acpi_control = 0xb004;
constexpr std::uint16_t acpi_sleep_enable = 1 << 13;  // with SLP_TYP 0
constexpr std::uint32_t cpuid_hypervisor = 1U << 31;  // leaf 1, ECX

void out16(std::uint16_t port, std::uint16_t value) {
    asm volatile("outw %0, %1" : : "a"(value), "Nd"(port));
}

void wait_for_line(std::uint8_t state) {
    for (unsigned i = 0; i < patience && (in8(line_status) & state) == 0; ++i)
        asm volatile("pause");
}

}  // namespace

void start_console() {
    out8(interrupt_enable, 0);
    out8(line_control, divisor_access | eight_bits);
    out8(divisor_low, 1);  // 115200 baud
    out8(divisor_high, 0);
    out8(line_control, eight_bits);
    out8(fifo_control, fifo_on);
    out8(modem_control, dtr_and_rts);
}

void console_write(std::string_view text) {
    // One look at the status for a FIFO full of characters: port accesses are what costs here.
    while (!text.empty()) {
        wait_for_line(transmitter_empty);
        const std::string_view piece = text.substr(0, fifo_size);
        for (const char character : piece) out8(transmit, static_cast<std::uint8_t>(character));
        text.remove_prefix(piece.size());
    }
}

int console_read() {
    const std::uint8_t status = in8(line_status);
    return status == no_uart || (status & data_ready) == 0 ? -1 : in8(com1);
}

void power_off(unsigned status) {
    x86::disable_interrupts();
    std::array<char, 32> line;
    console_write(format_text(line, "power off: {}\n", status));
    if (const auto host = host_of_this_guest()) host->exit(status);
    out32(debug_exit, status);
    // Bochs has no such device. Its debugger stops at the second line here, and the harness, if it
    // has seen the text above, reads the memory and ends it. Anywhere else this does nothing.
    wait_for_line(transmitter_idle);
    asm volatile("xchgw %bx, %bx");
    if ((cpuid(1).ecx & cpuid_hypervisor) != 0) {
        out16(qemu_acpi_control, acpi_sleep_enable);
        out16(bochs_acpi_control, acpi_sleep_enable);
    }
    while (true) x86::halt();
}

}  // namespace kern::arch
